// An agent built with @a2a-js/sdk 1.x, served over one binding of A2A 1.0. See directives.py for what it does.
// It forgets its tasks when it ends.
import { parseArgs } from "node:util";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import grpc from "@grpc/grpc-js";
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from "@a2a-js/sdk/server";
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from "@a2a-js/sdk/server/express";
import { A2AService, grpcService } from "@a2a-js/sdk/server/grpc";

// The numbers of the protocol's definition.
const State = { submitted: 1, working: 2, completed: 3, failed: 4, canceled: 5, inputRequired: 6 };
const ROLE_AGENT = 2;
const BINDINGS = { jsonrpc: "JSONRPC", grpc: "GRPC", rest: "HTTP+JSON" };
// Between two chunks, in milliseconds.
const PAUSE = 100;

const part = (text) => ({ content: { $case: "text", value: text }, metadata: undefined, filename: "", mediaType: "" });

function message(text, { taskId, contextId }) {
  return {
    messageId: randomUUID(),
    taskId,
    contextId,
    role: ROLE_AGENT,
    parts: [part(text)],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  };
}

function status(state, ids, text) {
  const said = text === undefined ? undefined : message(text, ids);
  return { state, message: said, timestamp: new Date().toISOString() };
}

function parse(text) {
  const [, word, rest] = /^\s*(slow|ask|fail|message)\s*:\s*([^]*?)\s*$/i.exec(text) ?? [, "echo", text];
  const directive = word.toLowerCase();
  return directive === "slow" && !/^\d+$/.test(rest) ? ["echo", text] : [directive, rest];
}

class Directed {
  running = new Map();

  async execute(context, bus) {
    const { taskId, contextId, userMessage, task } = context;
    const turn = { canceled: false };
    const ids = { taskId, contextId };
    const say = (state, text) =>
      bus.publish(AgentEvent.statusUpdate({ ...ids, status: status(state, ids, text), metadata: undefined }));
    const texts = userMessage.parts.map((each) => (each.content?.$case === "text" ? each.content.value : ""));
    const [word, rest] = parse(texts.join(""));
    if (word === "message") {
      bus.publish(AgentEvent.message(message(rest, { taskId: "", contextId })));
      return bus.finished();
    }
    // The SDK wants every turn to begin with the task, later ones too.
    bus.publish(
      AgentEvent.task(
        task ?? {
          id: taskId,
          contextId,
          status: status(State.submitted, ids),
          artifacts: [],
          history: [userMessage],
          metadata: undefined,
        },
      ),
    );
    say(State.working);
    if (word === "ask") {
      say(State.inputRequired, rest);
    } else if (word === "fail") {
      say(State.failed, rest);
    } else {
      this.running.set(taskId, turn);
      const count = Number(rest);
      const chunks =
        word === "slow" ? Array.from({ length: count }, (_, i) => `chunk ${i + 1}/${count}\n`) : [`Echo: ${rest}`];
      for (const [i, text] of chunks.entries()) {
        if (word === "slow") await sleep(PAUSE);
        if (turn.canceled) return;
        const artifact = {
          artifactId: "answer",
          name: "",
          description: "",
          parts: [part(text)],
          metadata: undefined,
          extensions: [],
        };
        const lastChunk = i + 1 === chunks.length;
        bus.publish(AgentEvent.artifactUpdate({ ...ids, artifact, append: i > 0, lastChunk, metadata: undefined }));
      }
      this.running.delete(taskId);
      say(State.completed);
    }
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    console.log("told to cancel");
    const turn = this.running.get(taskId);
    if (turn) turn.canceled = true;
    this.running.delete(taskId);
    // The SDK looks the task up by its id only; its context is not known here.
    const ids = { taskId, contextId: "" };
    bus.publish(AgentEvent.statusUpdate({ ...ids, status: status(State.canceled, ids), metadata: undefined }));
    bus.finished();
  }
}

const { values: options } = parseArgs({
  options: {
    binding: { type: "string", default: "jsonrpc" },
    port: { type: "string" },
    "grpc-port": { type: "string" },
  },
});
const url = options.binding === "grpc" ? `127.0.0.1:${options["grpc-port"]}` : `http://127.0.0.1:${options.port}/a2a`;
const card = {
  name: "js1",
  description: "Obeys the directives of the test.",
  version: "1",
  supportedInterfaces: [{ url, protocolBinding: BINDINGS[options.binding], protocolVersion: "1.0", tenant: "" }],
  provider: undefined,
  capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: false, extensions: [] },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain"],
  skills: [],
  signatures: [],
};
const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Directed());
const userBuilder = UserBuilder.noAuthentication;
const app = express();
app.use("/.well-known/agent-card.json", agentCardHandler({ agentCardProvider: requestHandler }));
if (options.binding === "jsonrpc") app.use("/a2a", jsonRpcHandler({ requestHandler, userBuilder }));
if (options.binding === "rest") app.use("/a2a", restHandler({ requestHandler, userBuilder }));
if (options.binding === "grpc") {
  const server = new grpc.Server();
  server.addService(A2AService, grpcService({ requestHandler, userBuilder }));
  await new Promise((done, failed) =>
    server.bindAsync(url, grpc.ServerCredentials.createInsecure(), (error) => (error ? failed(error) : done())),
  );
}
app.listen(Number(options.port), "127.0.0.1");
