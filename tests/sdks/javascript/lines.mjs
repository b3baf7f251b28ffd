// What the JavaScript clients share: they take operations as lines of JSON and answer each with a line. See lines.py.
import { createInterface } from "node:readline";

// Answers until the input ends. `kind` names an error as a user of the SDK would tell it.
export async function serve(operations, kind) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, ...request } = JSON.parse(line);
    let answer;
    try {
      answer = { result: (await operations[op](request)) ?? null };
    } catch (error) {
      answer = { error: { type: kind(error), message: String(error.message).slice(0, 300) } };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  // Connections that are kept open for the next call keep nothing else alive.
  process.exit(0);
}

// Describes the events of a stream until it ends, or until it is cut after so many chunks.
export async function take(start, describe, stopAfter = 0) {
  const cut = new AbortController();
  const taken = [];
  let chunks = 0;
  for await (const event of start({ signal: cut.signal })) {
    taken.push(describe(event));
    chunks += taken.at(-1).kind === "artifact";
    if (stopAfter && chunks === stopAfter) break;
  }
  cut.abort();
  return taken;
}
