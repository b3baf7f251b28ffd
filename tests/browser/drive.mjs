// A page in a headless browser uses a gateway of another origin. Usage: node drive.mjs GATEWAY CHROMIUM PAGE [SCREENSHOT]
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import puppeteer from "puppeteer-core";

const [binary, chromium, directory, screenshot] = process.argv.slice(2);
// Of every wait, in milliseconds.
const LIMIT = 30_000;
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8" };

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

/** The page, on an origin of its own. */
async function serve() {
  const server = createServer(async (request, answer) => {
    const { pathname } = new URL(request.url, "http://page");
    const name = path.basename(pathname) || "index.html";
    try {
      const content = await readFile(path.join(directory, name));
      answer.writeHead(200, { "content-type": TYPES[path.extname(name)] }).end(content);
    } catch {
      answer.writeHead(404).end();
    }
  });
  const port = await listen(server);
  return { origin: `http://127.0.0.1:${port}`, server };
}

/** What stands between the browser and the gateway, and can cut their connections. */
async function wire(port) {
  const open = new Set();
  const server = net.createServer((client) => {
    const gateway = net.connect(port, "127.0.0.1");
    for (const [from, to] of [[client, gateway], [gateway, client]]) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  const url = `http://127.0.0.1:${await listen(server)}`;
  const cut = () => {
    const { size } = open;
    open.forEach((socket) => socket.destroy());
    return size;
  };
  return { url, cut, server };
}

async function freePort() {
  const probe = net.createServer();
  const port = await listen(probe);
  probe.close();
  return port;
}

/** A gateway that lets pages of the origin in. */
async function start(origin, data) {
  const port = await freePort();
  const settings = [`server.cors_origins=${origin}`, `store.data_dir=${data}`, "log.level=warn"];
  const flags = settings.flatMap((setting) => ["--set", setting]);
  const child = spawn(binary, ["serve", "--listen", `127.0.0.1:${port}`, ...flags], { stdio: ["ignore", "inherit", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  for (const end = Date.now() + LIMIT; ; await sleep(50)) {
    assert.equal(child.exitCode, null, "the gateway has ended");
    assert(Date.now() < end, "the gateway is not ready");
    const ready = await fetch(`${url}/readyz`).catch(() => undefined);
    if (ready?.ok) return { port, url, child };
  }
}

async function within(work, what) {
  const late = sleep(LIMIT, undefined, { ref: false }).then(() => assert.fail(`${what} takes too long`));
  return Promise.race([work, late]);
}

/** Asks the page to do something. */
const ask = (page, name, ...given) =>
  within(page.evaluate((name, given) => window.page[name](...given), name, given), name);
const lines = (page, name) => page.$$eval(`#${name} li`, (items) => items.map((item) => item.textContent));
const shows = (page, name, count) =>
  page.waitForFunction((name, count) => document.querySelectorAll(`#${name} li`).length >= count, { timeout: LIMIT }, name, count);

const says = (page, name, words) =>
  page.waitForFunction((name, words) => document.querySelector(`#${name}`)?.textContent.includes(words), { timeout: LIMIT }, name, words);

/** What `slow: N` does, from its first event: N chunks, each with its number, between the two states. */
function whole(count, first = ["task SUBMITTED", "status WORKING"]) {
  const chunks = Array.from({ length: count }, (_, index) => `artifact ${chunkText(index + 1, count)}`);
  return [...first, ...chunks, "status COMPLETED"].map((what, index) => `${index + 1} ${what}`);
}
const chunkText = (index, count) => `chunk ${index}/${count}\n`;

const tests = {
  async "a task is submitted and watched over gRPC-Web, through lost connections"(page, { url, cut }) {
    const task = await ask(page, "submit", url, "slow: 8");
    const watched = ask(page, "grpcWeb", url, task);
    for (const seen of [4, 7]) {
      await shows(page, "grpcWeb", seen);
      assert(cut() > 0, "there is no connection to cut");
    }
    await watched;
    assert.deepEqual(await lines(page, "grpcWeb"), whole(8));
  },

  async "events arrive while the stream is open, in base64 too, and an answer goes on with the task"(page, { url }) {
    const task = await ask(page, "submit", url, "ask: Who?");
    const watched = ask(page, "grpcWebText", url, task);
    // The stream stays open after it.
    await says(page, "grpcWebText", "INPUT_REQUIRED");
    await ask(page, "submit", url, "Bob", task);
    await watched;
    const turns = ["task SUBMITTED", "status WORKING", "status INPUT_REQUIRED Who?", "status WORKING", "message Bob", "artifact Echo: Bob", "status COMPLETED"];
    assert.deepEqual(await lines(page, "grpcWebText"), turns.map((what, index) => `${index + 1} ${what}`));
  },

  async "a message is sent and streamed over SSE"(page, { url }) {
    await ask(page, "sse", url, "slow: 3");
    const seen = await lines(page, "sse");
    assert.deepEqual(seen, whole(3));
  },

  async "EventSource resumes by itself"(page, { url, cut }) {
    const task = await ask(page, "submit", url, "slow: 25");
    const watched = ask(page, "eventSource", url, task);
    await shows(page, "eventSource", 3);
    assert(cut() > 0, "there is no connection to cut");
    await watched;
    const seen = await lines(page, "eventSource");
    const first = Number(seen[0].split(" ")[0]);
    assert.match(seen[0], /^\d+ task (SUBMITTED|WORKING)$/);
    assert.deepEqual(seen.slice(1), whole(25).slice(first));
  },

  async "EventSource goes on after a question"(page, { url }) {
    const task = await ask(page, "submit", url, "ask: Who?");
    const watched = ask(page, "eventSource", url, task, "question");
    await says(page, "question", "INPUT_REQUIRED");
    await ask(page, "submit", url, "Bob", task);
    await watched;
    const seen = await lines(page, "question");
    // The first may be the task as it is by then. The caller's own turn is no event of A2A's streams.
    assert.deepEqual(seen.slice(-3), ["4 status WORKING", "6 artifact Echo: Bob", "7 status COMPLETED"]);
  },

  async "the official SDK streams in a browser"(page, { url }) {
    await ask(page, "sdk", url, "slow: 3");
    assert.deepEqual(await lines(page, "sdk"), whole(3).map((line) => line.replace(/^\d+ /, "")));
  },

  async "errors can be read by the page"(page, { url }) {
    const [code, message, ...details] = await ask(page, "missing", url);
    assert.deepEqual([code, message.includes("t-1")], [5, true]);
    assert.match(details.join(), /google\.rpc\.ErrorInfo.*TASK_NOT_FOUND/s);
    await assert.rejects(ask(page, "eventSource", url, "t-1", "none"), /refused/);
  },
};

const data = await mkdtemp(path.join(tmpdir(), "a2a-gateway-browser-"));
const allowed = await serve();
const other = await serve();
const gateway = await start(allowed.origin, data);
const between = await wire(gateway.port);
const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  // Chromium has no sandbox for root, and containers little shared memory.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const failed = [];
async function check(name, test) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.log(`page: ${error}`));
  await page.setViewport({ width: 1200, height: 1000 });
  await page.goto(allowed.origin);
  await page.waitForFunction(() => window.page);
  for (const [name, test] of Object.entries(tests)) await check(name, () => test(page, between));
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
  await check("the browser keeps pages of other origins out", async () => {
    const before = await (await fetch(`${gateway.url}/tasks`)).json();
    await page.goto(other.origin);
    await page.waitForFunction(() => window.page);
    assert.deepEqual(await ask(page, "refused", between.url), ["submit", "sse", "eventSource", "simple"]);
    const after = await (await fetch(`${gateway.url}/tasks`)).json();
    assert.equal(after.totalSize, before.totalSize, "a page that is kept out made a task");
  });
} finally {
  await browser.close();
  for (const { server } of [allowed, other, between]) server.close();
  between.cut();
  gateway.child.kill("SIGTERM");
  if (gateway.child.exitCode === null) await once(gateway.child, "exit");
  await rm(data, { recursive: true, force: true });
}
console.log(`${Object.keys(tests).length + 1 - failed.length} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);
