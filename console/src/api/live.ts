import { useEffect, useSyncExternalStore } from "react";
import { queryClient } from "~/api/queries";
import { ME } from "~/api/session";

/**
 * What the controller tells by itself (`GET /api/v1/events/stream`), and which queries become old by it.
 *
 * Changes are gathered for a moment, so that a large import costs one round of questions and not thousands. Without the
 * stream everything is asked again each POLL_MS; `useLive` says so, and the shell shows it.
 */
const GATHER_MS = 400;
const POLL_MS = 15_000;
const RECONNECT_MS = 5_000;
const STREAM = "/api/v1/events/stream";

/** Kinds of queries that an event can make old, besides the plural of its own first word. */
const TOUCHES: Record<string, readonly string[]> = {
  user: ["users", "groups", "access", "sessions"],
  group: ["groups", "users", "access"],
  service_account: ["service-accounts", "access"],
  device: ["devices", "access"],
  network: ["networks", "resources", "connectors"],
  connector: ["connectors", "networks", "enforcement"],
  relay: ["relays", "connectors"],
  resource: ["resources", "access", "networks"],
  grant: ["grants", "access", "resources", "policies"],
  policy: ["policies", "access"],
  exclusion: ["exclusions", "access"],
  access_request: ["access-requests", "grants"],
  sign_in: ["sign-ins", "sign-in-rules"],
  signing_key: ["keys"],
};
const ALWAYS = ["events", "summary", "enforcement", "plans"];

/** Kinds of queries (first words of query keys) that an event of the log makes old. */
export function touchedBy(kind: string): readonly string[] {
  const subject = kind.split(".")[0] ?? "";
  return [...(TOUCHES[subject] ?? [subject, `${subject}s`.replaceAll("_", "-")]), ...ALWAYS];
}

export interface Live {
  /** Whether the stream stands. */
  connected: boolean;
  /** Since when it is as it is, milliseconds. */
  since: number;
}

type Listener = () => void;
export interface Change {
  position: number;
  kind: string;
  ids: string[];
  at_ms: number;
}

class LiveStream {
  private source: EventSource | undefined;
  private state: Live = { connected: false, since: Date.now() };
  private readonly listeners = new Set<Listener>();
  private readonly watchers = new Set<(change: Change) => void>();
  private readonly old = new Set<string>();
  private gathering: number | undefined;
  private polling: number | undefined;
  private again: number | undefined;

  readonly subscribe = (listener: Listener): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly read = (): Live => this.state;

  /** Hears every change as it comes; returns how to stop. */
  watch(hear: (change: Change) => void): () => void {
    this.watchers.add(hear);
    return () => this.watchers.delete(hear);
  }

  start(): void {
    this.stop();
    const source = new EventSource(STREAM);
    this.source = source;
    source.addEventListener("hello", (event) => {
      this.turn(true);
      if (!JSON.parse(event.data).resumed) this.everything();
    });
    source.addEventListener("change", (event) => this.changed(JSON.parse(event.data)));
    source.addEventListener("presence", () => this.touch(["connectors", "relays", "networks", "summary"]));
    source.addEventListener("resync", () => this.everything());
    source.addEventListener("end", () => queryClient.invalidateQueries({ queryKey: ME }));
    source.onerror = () => {
      this.turn(false);
      // A refused stream is not tried again by the browser; whether the session lives is asked of the API.
      if (source.readyState === EventSource.CLOSED && this.again === undefined) {
        this.again = window.setTimeout(() => {
          this.again = undefined;
          this.start();
        }, RECONNECT_MS);
      }
    };
    this.polling = window.setInterval(() => {
      if (!this.state.connected) this.everything();
    }, POLL_MS);
  }

  stop(): void {
    this.source?.close();
    this.source = undefined;
    for (const timer of [this.gathering, this.polling, this.again]) window.clearTimeout(timer);
    this.gathering = this.polling = this.again = undefined;
  }

  private changed(change: Change): void {
    for (const hear of this.watchers) hear(change);
    this.touch(touchedBy(change.kind));
  }

  private touch(kinds: readonly string[]): void {
    for (const kind of kinds) this.old.add(kind);
    this.gathering ??= window.setTimeout(() => {
      this.gathering = undefined;
      const old = new Set(this.old);
      this.old.clear();
      queryClient.invalidateQueries({ predicate: (query) => old.has(String(query.queryKey[0])) });
    }, GATHER_MS);
  }

  private everything(): void {
    queryClient.invalidateQueries();
  }

  private turn(connected: boolean): void {
    if (this.state.connected === connected) return;
    this.state = { connected, since: Date.now() };
    for (const listener of this.listeners) listener();
  }
}

export const liveStream = new LiveStream();

/** Whether what is shown follows the controller by itself, and since when. */
export function useLive(): Live {
  return useSyncExternalStore(liveStream.subscribe, liveStream.read);
}

/** Hears every change of the log while the component is shown. Keep `hear` stable (`useCallback`). */
export function useChanges(hear: (change: Change) => void): void {
  useEffect(() => liveStream.watch(hear), [hear]);
}
