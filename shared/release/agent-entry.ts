/** The agent's entry, from the folder of its built program. Here alone: the launcher loads nothing that it needs not. */
export const AGENT_ENTRY = 'dist/agent/main.js';
