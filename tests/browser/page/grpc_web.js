import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Gateway } from "./generated/a2a/gateway/v1/gateway_pb.js";
import { MessageSchema, Role } from "./generated/lf/a2a/v1/a2a_pb.js";

export const connect = (baseUrl) => createClient(Gateway, createGrpcWebTransport({ baseUrl }));

/** Starts a task, or goes on with one that waits for an answer; its id. */
export async function submit(client, text, taskId = "") {
  const message = create(MessageSchema, {
    messageId: crypto.randomUUID(),
    taskId,
    role: Role.USER,
    parts: [{ content: { case: "text", value: text } }],
  });
  const { task } = await client.submitTask({ message });
  return task.id;
}

/** Everything that happens to a task, from its first event, through lost connections. */
export async function* watch(client, taskId) {
  let afterSequence = 0n;
  for (;;) {
    try {
      for await (const event of client.watchTask({ taskId, afterSequence })) {
        afterSequence = event.sequence;
        yield event;
      }
      return;
    } catch (error) {
      // What a lost connection looks like; anything else is the gateway's answer.
      const { code } = ConnectError.from(error);
      if (code !== Code.Unknown && code !== Code.Unavailable) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
