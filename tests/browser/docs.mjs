// Holds the code of a document to what is run. Usage: node docs.mjs DOCUMENT DIRECTORY
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";

const [document, directory] = process.argv.slice(2);
const names = (await readdir(directory)).filter((name) => name.endsWith(".js"));
const files = await Promise.all(names.map((name) => readFile(path.join(directory, name), "utf8")));
const blocks = [...(await readFile(document, "utf8")).matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
const strange = blocks.filter((code) => !files.some((file) => file.includes(code)));
for (const code of strange) console.error(`${document} shows code that is not in ${directory}:\n${code}`);
if (blocks.length === 0) console.error(`${document} shows no code`);
process.exit(strange.length === 0 && blocks.length > 0 ? 0 : 1);
