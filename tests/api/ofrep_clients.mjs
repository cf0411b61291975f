// Real OpenFeature clients of Node, server and web, against the address that is given: what they make of each answer.
// Prints one line of JSON, waits for a line on standard input, waits until polling has found a change, prints another.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [url, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(modules + "/"));
const { OpenFeature: server } = require("@openfeature/server-sdk");
const { OFREPProvider } = require("@openfeature/ofrep-provider");
const { OpenFeature: web } = require("@openfeature/web-sdk");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");

const statuses = [];
const fetchImplementation = async (...asked) => {
  const answer = await fetch(...asked);
  statuses.push(answer.status);
  return answer;
};
const row = ({ value, variant, reason, errorCode, errorMessage }) => ({
  value, variant, reason, errorCode, explained: Boolean(errorMessage),
});
const until = async (holds) => {
  const deadline = Date.now() + 10000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error("it did not come to hold in time");
    await new Promise((next) => setTimeout(next, 20));
  }
};

async function ofServer() {
  await server.setProviderAndWait(new OFREPProvider({ baseUrl: url }));
  const client = server.getClient();
  const ana = { targetingKey: "ana", country: "DE" };
  return {
    banner: row(await client.getBooleanDetails("banner", false, ana)),
    limit: row(await client.getNumberDetails("limit", 9, {})),
    model: row(await client.getStringDetails("model", "none", ana)),
    nope: row(await client.getStringDetails("nope", "mine", ana)),
    keyless: row(await client.getStringDetails("model", "mine", {})),
    mismatch: row(await client.getStringDetails("banner", "mine", ana)),
  };
}

async function ofWeb() {
  await web.setContext({ targetingKey: "ana", country: "DE" });
  const options = { baseUrl: url, pollInterval: 100, cacheMode: "disabled", disableVisibilityRefresh: true };
  await web.setProviderAndWait(new OFREPWebProvider({ ...options, changeDetection: "polling", fetchImplementation }));
  const client = web.getClient();
  const found = {
    banner: row(client.getBooleanDetails("banner", false)),
    limit: row(client.getNumberDetails("limit", 9)),
    model: row(client.getStringDetails("model", "none")),
    nope: row(client.getStringDetails("nope", "mine")),
  };
  await until(() => statuses.includes(304));
  await web.setContext({ targetingKey: "ana", country: "FR" }); // the client keeps its old tag
  return { ...found, elsewhere: row(client.getBooleanDetails("banner", true)), statuses: [...new Set(statuses)] };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
console.log(JSON.stringify({ server: await ofServer(), web: await ofWeb() }));
await lines.next();
const client = web.getClient();
await until(() => client.getBooleanDetails("banner", true).reason === "DISABLED");
console.log(JSON.stringify(row(client.getBooleanDetails("banner", true))));
process.exit(0);
