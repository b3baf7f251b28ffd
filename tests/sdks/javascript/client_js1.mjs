// @a2a-js/sdk 1.x as a client. Usage: client_js1.mjs ORIGIN JSON-RPC|gRPC|REST. See lines.mjs for what it reads and says.
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";
import {
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "@a2a-js/sdk/errors";
import { Role, roleToJSON, taskStateFromJSON, taskStateToJSON } from "@a2a-js/sdk";
import { serve, take } from "./lines.mjs";

const FACTORIES = { "JSON-RPC": JsonRpcTransportFactory, gRPC: GrpcTransportFactory, REST: RestTransportFactory };
// Each binding has subclasses of its own; users catch these.
const ERRORS = [TaskNotFoundError, TaskNotCancelableError, UnsupportedOperationError, RequestMalformedError];
const tenant = "";

const state = (value) => taskStateToJSON(value).replace("TASK_STATE_", "").toLowerCase().replaceAll("_", "-");
const texts = (parts) => parts.map((part) => part.content.value);
const text = (message) => texts(message?.parts ?? []).join("");

const task = (of) => ({
  kind: "task",
  id: of.id,
  contextId: of.contextId,
  state: state(of.status.state),
  text: text(of.status.message),
  artifacts: of.artifacts.map((each) => ({ id: each.artifactId, parts: texts(each.parts) })),
  history: of.history.map((each) => ({
    id: each.messageId,
    role: roleToJSON(each.role).replace("ROLE_", "").toLowerCase(),
    text: text(each),
  })),
});

// What a send returns is a task or a message itself; a stream says which.
const result = (of) => ("messageId" in of ? { kind: "message", text: text(of) } : task(of));

function event({ payload: { $case, value } }) {
  if ($case === "task" || $case === "message") return result(value);
  const ids = { taskId: value.taskId, contextId: value.contextId };
  if ($case === "statusUpdate") {
    return { kind: "status", state: state(value.status.state), text: text(value.status.message), ...ids };
  }
  const { artifact, append, lastChunk } = value;
  const chunk = { artifactId: artifact.artifactId, parts: texts(artifact.parts), append, last: lastChunk };
  return { kind: "artifact", ...chunk, ...ids };
}

const config = ({ taskId, id, url, token, authentication }) => ({ taskId, id, url, token, ...authentication });
const toConfig = ({ taskId = "", id, url, token, scheme, credentials }) => ({
  tenant,
  taskId,
  id,
  url,
  token,
  authentication: { scheme, credentials },
});

const toRequest = ({ text, messageId, taskId = "", contextId = "", wait = true, push }) => ({
  tenant,
  message: {
    messageId,
    taskId,
    contextId,
    role: Role.ROLE_USER,
    parts: [{ content: { $case: "text", value: text }, metadata: undefined, filename: "", mediaType: "" }],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  },
  configuration: {
    acceptedOutputModes: [],
    taskPushNotificationConfig: push && toConfig(push),
    returnImmediately: !wait,
  },
  metadata: undefined,
});

const [origin, binding] = process.argv.slice(2);
const factory = new ClientFactory({ transports: [new FACTORIES[binding]()] });
const client = await factory.createFromUrl(origin);

const operations = {
  async card() {
    const { name, skills, capabilities } = await client.getAgentCard();
    const { streaming, pushNotifications: push } = capabilities;
    return { name, skills: skills.map(({ id }) => id), streaming, push };
  },
  send: async (request) => result(await client.sendMessage(toRequest(request))),
  stream: ({ stopAfter, ...request }) =>
    take((options) => client.sendMessageStream(toRequest(request), options), event, stopAfter),
  subscribe: ({ id, stopAfter }) =>
    take((options) => client.resubscribeTask({ tenant, id }, options), event, stopAfter),
  get: async ({ id, historyLength }) => task(await client.getTask({ tenant, id, historyLength })),
  cancel: async ({ id }) => task(await client.cancelTask({ tenant, id, metadata: undefined })),
  async list({ contextId, pageSize, pageToken = "", state = "unspecified", artifacts: includeArtifacts = false }) {
    const status = taskStateFromJSON(`TASK_STATE_${state.toUpperCase().replaceAll("-", "_")}`);
    const filter = { tenant, contextId, status, statusTimestampAfter: undefined, includeArtifacts };
    const page = await client.listTasks({ ...filter, pageSize, pageToken });
    return { tasks: page.tasks.map(task), next: page.nextPageToken, total: page.totalSize };
  },
  pushSet: async (given) => config(await client.createTaskPushNotificationConfig(toConfig(given))),
  pushGet: async (given) => config(await client.getTaskPushNotificationConfig({ tenant, ...given })),
  async pushList({ taskId }) {
    const { configs } = await client.listTaskPushNotificationConfig({ tenant, taskId, pageSize: 0, pageToken: "" });
    return configs.map(config);
  },
  pushDelete: (given) => client.deleteTaskPushNotificationConfig({ tenant, ...given }),
};

await serve(operations, (error) => (ERRORS.find((known) => error instanceof known) ?? error.constructor).name);
