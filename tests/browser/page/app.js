// What the page can be asked to do; each shows its events in a section of its own, one line each.
import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { follow } from "./event_source.js";
import { WatchTaskRequestSchema } from "./generated/a2a/gateway/v1/gateway_pb.js";
import { TaskState } from "./generated/lf/a2a/v1/a2a_pb.js";
import { connect, submit, watch } from "./grpc_web.js";
import * as text from "./grpc_web_text.js";
import * as sdk from "./sdk.js";
import * as sse from "./sse.js";

/** Adds a section; what it gives shows an event in it. */
function section(name, title) {
  const list = document.createElement("ol");
  list.id = name;
  const section = document.createElement("section");
  const head = document.createElement("h2");
  head.textContent = title;
  section.append(head, list);
  document.querySelector("main").append(section);
  return (line) => {
    const item = document.createElement("li");
    item.textContent = line;
    list.append(item);
  };
}

const chunk = (parts) => parts.map((part) => part.text ?? part.content.value).join("");
const said = (message) => chunk(message?.parts ?? []);
const state = (status) => (typeof status.state === "string" ? status.state.slice(11) : TaskState[status.state]);

/** An event as a line: its sequence, what it is, and what it says. The events of the three libraries differ in form. */
function line(event) {
  const { case: kind, value } = event.event ?? event.payload ?? json(event);
  const what = {
    snapshot: () => `task ${state(value.status)}`,
    task: () => `task ${state(value.status)}`,
    statusUpdate: () => ["status", state(value.status), said(value.status.message)].join(" ").trim(),
    artifactUpdate: () => `artifact ${chunk(value.artifact.parts)}`,
    message: () => `message ${chunk(value.parts)}`,
  }[kind]();
  return event.sequence === undefined ? what : `${event.sequence} ${what}`;
}

function json(event) {
  const kind = ["task", "statusUpdate", "artifactUpdate", "message"].find((name) => event[name]);
  return { case: kind, value: event[kind] };
}

window.page = {
  async submit(gateway, words, task) {
    return submit(connect(gateway), words, task);
  },

  async grpcWeb(gateway, task) {
    const show = section("grpcWeb", "gRPC-Web");
    for await (const event of watch(connect(gateway), task)) show(line(event));
  },

  async grpcWebText(gateway, taskId) {
    const show = section("grpcWebText", "gRPC-Web, in base64");
    const request = create(WatchTaskRequestSchema, { taskId, afterSequence: 0n });
    await text.watch(gateway, request, (event) => show(line(event)));
  },

  async sse(gateway, words) {
    const show = section("sse", "SSE, by fetch");
    for await (const event of sse.send(gateway, words)) show(line(event));
  },

  async eventSource(gateway, task, name = "eventSource") {
    const show = section(name, "SSE, by EventSource");
    await follow(gateway, task, (event) => show(line(event)));
  },

  async sdk(gateway, words) {
    const show = section("sdk", "The official SDK");
    for await (const { payload } of sdk.send(gateway, words)) show(line({ payload: { case: payload.$case, value: payload.value } }));
  },

  /** What a page learns of a task that does not exist: the code, the message, and the details over gRPC-Web. */
  async missing(gateway) {
    try {
      await connect(gateway).getTask({ taskId: "t-1" });
      return [];
    } catch (cause) {
      const { code, rawMessage, details } = ConnectError.from(cause);
      return [code, rawMessage, ...details.map(({ type, value }) => `${type} ${new TextDecoder().decode(value)}`)];
    }
  },

  /** Who is refused by the browser, way by way. */
  async refused(gateway) {
    const ways = {
      submit: () => this.submit(gateway, "hello"),
      sse: () => this.sse(gateway, "hello"),
      eventSource: () => this.eventSource(gateway, "t-1", "none"),
      simple: () => fetch(`${gateway}/tasks`),
    };
    const refused = [];
    for (const [name, way] of Object.entries(ways)) {
      await way().then(() => {}, () => refused.push(name));
    }
    return refused;
  },
};
