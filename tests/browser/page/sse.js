/** Sends a message and yields what happens, as the stream's objects. */
export async function* send(baseUrl, text) {
  const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] };
  const answer = await fetch(`${baseUrl}/message:stream`, {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: JSON.stringify({ message }),
  });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  let rest = "";
  for await (const piece of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + piece).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const lines = event.split("\n");
      const value = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = JSON.parse(value("data"));
      if (value("event") === "error") throw new Error(data.error.message);
      yield { sequence: Number(value("id")), ...data };
    }
  }
}

/** Not every browser can loop over a stream. */
async function* chunks(stream) {
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}
