import { Client, ConnectOptions } from "./tidegate.js";

export interface FallbackOptions extends ConnectOptions {
  /** Milliseconds after which WebSocket is tried again where it was blocked; 5 minutes if not said. */
  retry?: number;
}

/** As `connect` of the core, and where WebSocket is blocked by server-sent events, else by long poll. */
export function connect(url: string | URL, options?: FallbackOptions): Client;
export { TidegateError } from "./tidegate.js";
