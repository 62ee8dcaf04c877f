// A SMART app with its own server: /launch begins, /callback ends in a search.
// Its configuration, as fhirclient takes it, comes in APP; its port is printed.
"use strict";

const http = require("node:http");
const smart = require("fhirclient");

const options = JSON.parse(process.env.APP);
const kept = new Map();
const storage = {
  get: async (key) => kept.get(key),
  set: async (key, value) => kept.set(key, value),
  unset: async (key) => kept.delete(key),
};

async function answer(request, response) {
  const api = smart(request, response, storage);
  if (request.url.startsWith("/launch")) {
    await api.authorize(options);
    return;
  }
  const client = await api.ready();
  const patient = await client.patient.read();
  const found = await client.patient.request("Observation?_count=100", { pageLimit: 0, flat: true });
  const refreshed = client.state.tokenResponse.refresh_token ? await client.refresh() : null;
  const again = refreshed ? await client.patient.read() : null;
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      patient,
      observations: found.map((each) => ({ id: each.id, subject: each.subject.reference })),
      user: client.user.fhirUser,
      again: again && again.id,
      context: { ...client.state.tokenResponse, access_token: undefined, refresh_token: undefined },
    }),
  );
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error && error.message));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
