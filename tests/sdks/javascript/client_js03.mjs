// @a2a-js/sdk 0.3.x as a client. Usage: client_js03.mjs ORIGIN JSON-RPC|gRPC|REST. See lines.mjs for what it reads and
// says. Its client does not list tasks: A2A 0.3 has no such operation.
import {
  ClientFactory,
  JsonRpcTransportFactory,
  RestTransportFactory,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";
import { serve, take } from "./lines.mjs";

const FACTORIES = { "JSON-RPC": JsonRpcTransportFactory, gRPC: GrpcTransportFactory, REST: RestTransportFactory };
const ERRORS = [TaskNotFoundError, TaskNotCancelableError, UnsupportedOperationError];

// Errors that the SDK has no class for have their code: JSON-RPC's in a member, REST's in the text only, gRPC's in the
// cause.
function kind(error) {
  const known = ERRORS.find((known) => error instanceof known);
  if (known) return known.name;
  const code = error.errorResponse?.error.code ?? error.cause?.code ?? /\(Code: (-?\d+)\)/.exec(error.message)?.[1];
  return `${error.constructor.name} ${code}`;
}

const texts = (parts) => parts.map((part) => part.text);
const text = (message) => texts(message?.parts ?? []).join("");

const task = (of) => ({
  kind: "task",
  id: of.id,
  contextId: of.contextId,
  state: of.status.state,
  text: text(of.status.message),
  artifacts: (of.artifacts ?? []).map((each) => ({ id: each.artifactId, parts: texts(each.parts) })),
  history: (of.history ?? []).map((each) => ({ id: each.messageId, role: each.role, text: text(each) })),
});

function event(of) {
  if (of.kind === "task") return task(of);
  if (of.kind === "message") return { kind: "message", text: text(of) };
  const ids = { taskId: of.taskId, contextId: of.contextId };
  if (of.kind === "status-update") {
    return { kind: "status", state: of.status.state, text: text(of.status.message), ...ids };
  }
  const { artifact, lastChunk: last = false } = of;
  // Over gRPC and REST the SDK drops append.
  const append = binding === "JSON-RPC" ? of.append === true : null;
  return { kind: "artifact", artifactId: artifact.artifactId, parts: texts(artifact.parts), append, last, ...ids };
}

function config({ taskId, pushNotificationConfig: { id, url, token, authentication } }) {
  return { taskId, id, url, token, scheme: authentication.schemes[0], credentials: authentication.credentials };
}

function toConfig({ id, url, token, scheme, credentials }) {
  return { id, url, token, authentication: { schemes: [scheme], credentials } };
}

function toRequest({ text, messageId, taskId, contextId, wait = true, push }) {
  const parts = [{ kind: "text", text }];
  const configuration = { blocking: wait, ...(push && { pushNotificationConfig: toConfig(push) }) };
  return { message: { kind: "message", messageId, role: "user", parts, taskId, contextId }, configuration };
}

const [origin, binding] = process.argv.slice(2);
const factory = new ClientFactory({ transports: [new FACTORIES[binding]()] });
const client = await factory.createFromUrl(origin);

const operations = {
  async card() {
    const { name, skills, capabilities } = await client.getAgentCard();
    const { streaming, pushNotifications: push } = capabilities;
    return { name, skills: skills.map(({ id }) => id), streaming, push };
  },
  send: async (request) => event(await client.sendMessage(toRequest(request))),
  stream: ({ stopAfter, ...request }) =>
    take((options) => client.sendMessageStream(toRequest(request), options), event, stopAfter),
  subscribe: ({ id, stopAfter }) => take((options) => client.resubscribeTask({ id }, options), event, stopAfter),
  get: async (request) => task(await client.getTask(request)),
  cancel: async ({ id }) => task(await client.cancelTask({ id })),
  async pushSet({ taskId, ...given }) {
    return config(await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig: toConfig(given) }));
  },
  async pushGet({ taskId, id }) {
    return config(await client.getTaskPushNotificationConfig({ id: taskId, pushNotificationConfigId: id }));
  },
  pushList: async ({ taskId }) => (await client.listTaskPushNotificationConfig({ id: taskId })).map(config),
  pushDelete: ({ taskId, id }) =>
    client.deleteTaskPushNotificationConfig({ id: taskId, pushNotificationConfigId: id }),
};

await serve(operations, kind);
