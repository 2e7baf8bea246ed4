// Lends the client's own model to the Runs and Cells of our server: while one of our tools runs, and as long as it then
// says that something goes on, takes the requests that wait there (rlm_mcp/server/lending.py), asks $.model.complete,
// and gives back what came. Whatever fails here, the server tells by the mod's absence.
const STORE_FOLDER = ""; // `rlm-mcp install claude` writes the store's folder here
const TOOLS = "mcp__plugin_rlm-mcp_rlm-mcp__";
const ASKING = ["ask", "job", "repl", "summarize"];
const PAUSE_MS = 100;
const MOST_FAILURES = 20; // in a row: the server is still starting, or gone

const underWay = new Map(); // id -> AbortController
let calls = 0; // of our tools, in the client
let isServing = false;

const storeFolder = async ($) => STORE_FOLDER || (await $.env.get("RLM_MCP_HOME")) || `${await $.env.get("HOME")}/.rlm-mcp`;

const findSocket = async ($) => {
  const { CLAUDE_PID } = await $.process.hookEnv();
  return JSON.parse(await $.fs.read(`${await storeFolder($)}/live/lend-${CLAUDE_PID}.json`)).socket;
};

const post = async ($, socketPath, path, told) => {
  const { ok, status, text } = await $.http.fetch(`http://rlm-mcp/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(told),
    socketPath,
  });
  if (!ok) throw new Error(`rlm-mcp answers ${path} with ${status}`);
  return JSON.parse(text);
};

const answer = async ($, socketPath, { id, system, ...request }) => {
  const controller = new AbortController();
  underWay.set(id, controller);
  let told;
  try {
    told = await $.model.complete(system ? { ...request, system } : request, { signal: controller.signal });
  } catch (error) {
    told = { isAnswered: false, reason: "refused", error: String(error) };
  }
  underWay.delete(id);
  await post($, socketPath, "give", { ...told, id }).catch(() => undefined);
};

const serve = async ($) => {
  isServing = true;
  let failures = 0;
  let socketPath;
  try {
    while (failures < MOST_FAILURES) {
      try {
        socketPath ??= await findSocket($);
        const { requests, ended, isOver } = await post($, socketPath, "take", {});
        failures = 0;
        for (const id of ended) underWay.get(id)?.abort();
        for (const request of requests) void answer($, socketPath, request);
        if (isOver && calls === 0) return;
      } catch {
        if (calls === 0) return;
        socketPath = undefined; // a new server has a new one
        failures += 1;
        await $.clock.sleep(PAUSE_MS);
      }
    }
  } finally {
    isServing = false;
  }
};

export const lend = (on) => {
  for (const tool of ASKING) {
    on("tool.call", { tool: `${TOOLS}${tool}` }, async ($, e, next) => {
      calls += 1;
      if (!isServing) void serve($).catch(() => undefined);
      try {
        return await next(e);
      } finally {
        calls -= 1;
      }
    });
  }
};
