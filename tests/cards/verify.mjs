// Verifies cards with the official SDK. Usage: verify.mjs URL [TOKEN]: the card at the URL, read with the token.
// Exit code 0: it verifies, and no longer does when it is changed.

import { verifyAgentCardSignature } from "@a2a-js/sdk";

const [url, token] = process.argv.slice(2);

const get = async (at, headers = {}) => {
  const answer = await fetch(at, { headers });
  if (!answer.ok) throw new Error(`${at}: ${answer.status}`);
  return answer.json();
};

const verify = verifyAgentCardSignature(async (kid, jku) => {
  const { keys } = await get(jku);
  return keys.find((key) => key.kid === kid);
});

const card = await get(url, token ? { authorization: `Bearer ${token}` } : {});
await verify(card);

console.debug = () => {};
const forged = await verify({ ...card, name: "somebody else" }).then(
  () => true,
  () => false,
);
if (forged) throw new Error("a changed card verifies");
