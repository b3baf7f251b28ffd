import { ClientFactory } from "@a2a-js/sdk/client";

/** Sends a message by the official SDK, over the first interface of the card that it speaks. */
export async function* send(baseUrl, text) {
  const client = await new ClientFactory().createFromUrl(baseUrl);
  const part = { content: { $case: "text", value: text }, filename: "", mediaType: "", metadata: undefined };
  const message = {
    messageId: crypto.randomUUID(),
    contextId: "",
    taskId: "",
    role: 1,
    parts: [part],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  };
  yield* client.sendMessageStream({ tenant: "", message, configuration: undefined, metadata: undefined });
}
