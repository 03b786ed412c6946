// What a team writes by hand: `node server.mjs 127.0.0.1:3000 profile=http://127.0.0.1:8080/profile …`
// calls every part at once and answers one object. It checks no caller and writes no access line.

import Fastify from "fastify";
import { Pool } from "undici";

const [listen, ...named] = process.argv.slice(2);
const [host, port] = listen.split(":");

const parts = named.map((text) => {
  const at = text.indexOf("=");
  const { origin, pathname } = new URL(text.slice(at + 1));
  return { name: text.slice(0, at), path: pathname, pool: new Pool(origin, { connections: 64 }) };
});

async function read({ pool, path }) {
  const { statusCode, body } = await pool.request({ method: "GET", path });
  if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}`);
  return body.json();
}

const app = Fastify();

app.get("/answer", async () => {
  const values = await Promise.all(parts.map(read));
  return Object.fromEntries(parts.map(({ name }, index) => [name, values[index]]));
});

await app.listen({ host, port: Number(port) });
