// Claude Code mod (2.1.287 and later): answers `session.compact` with a Brief and the latest messages, both made by
// run_hook.py. Glue only. Whatever fails, here or there, the built-in compaction runs.
// A plugin has one module, so lend.js is registered here too.
// API: https://code.claude.com/docs/en/plugins/mods/reference
import { lend } from "./lend.js";

const PYTHON = "python3"; // `rlm-mcp install claude` writes its own interpreter's absolute path here
const TIMEOUT_MS = 45000;
const SENT_CHARS = 1500000; // of the latest messages; run_hook.py keeps what its token budget allows

const slim = ({ handle, toolUses = [], toolResults, ...message }) => ({
  ...message,
  toolUses: toolUses.map(({ tool_use_id, tool, input }) => ({ tool_use_id, tool, input })),
  ...(toolResults && {
    toolResults: toolResults.map(({ tool_use_id, text, isError }) => ({ tool_use_id, text, isError })),
  }),
});

const latest = (messages) => {
  const kept = [];
  let chars = 0;
  for (let i = messages.length - 1; i >= 0; i -= 1) {
    const message = slim(messages[i]);
    chars += JSON.stringify(message).length;
    if (chars > SENT_CHARS && kept.length > 0) break;
    kept.unshift(message);
  }
  return kept;
};

const isPrompt = (message) => message?.role === "user" && !message.toolResults?.length;

// A message without its `handle` loses its images; one with it brings the old conversation back at --resume, unless it
// is the last one alone. So the prompt that waits keeps its handle where it shows something.
const withMedia = (answered, messages, shown) => {
  const waiting = messages[messages.length - 1];
  const isShowing = shown?.content.some(({ type }) => type === "image" || type === "document");
  if (!isShowing || !isPrompt(waiting) || !isPrompt(answered[answered.length - 1])) return answered;
  return [...answered.slice(0, -1), waiting];
};

export const register = (on) => {
  lend(on);
  on("session.compact", async ($, e, next) => {
    if (e.trigger === "precompute") return { skip: "rlm-mcp answers when the window is full" };
    if (e.agentId !== undefined) return next(e); // a sub-agent's own window
    const { transcriptPath } = await $.session.info();
    const { trigger, instructions, messages } = e;
    const stdin = JSON.stringify({ trigger, instructions, transcript_path: transcriptPath, messages: latest(messages) });
    const command = [PYTHON, "-I", "-S", `${$.plugin.root}/hooks/run_hook.py`, "claude-code", "compact"];
    const { stdout } = await $.process.run(command, { stdin, timeoutMs: TIMEOUT_MS });
    const answer = JSON.parse(stdout);
    if (!Array.isArray(answer.messages)) return next(e);
    const sent = await $.session.messages({ as: "api", last: 1 });
    return { messages: withMedia(answer.messages, messages, sent[sent.length - 1]) };
  }).catch(($, e, next) => next(e));
};
