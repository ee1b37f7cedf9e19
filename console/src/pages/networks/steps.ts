import type { Schemas } from "~/api/client";

/** A step of a deployment: reached, waited for, or not yet its turn; `cause` says what most likely keeps it away. */
export interface Step {
  label: string;
  state: "done" | "waiting" | "later";
  detail?: string;
  cause?: string;
}

/** Beyond this tokens look expired, or from the future, to one side. */
const CLOCK_OFF_MS = 30_000;
/** Before that a step is simply on its way. */
const PATIENCE_MS = 20_000;

interface Known {
  connector: Pick<Schemas["Connector"], "enrolled" | "online" | "relays" | "clock_offset_ms" | "software" | "hostname">;
  /** Null: not known (no permission, or not answered yet). */
  relays: Pick<Schemas["Relay"], "fqdn" | "port" | "online" | "enrolled">[] | null;
  resources: number;
  /** When a connection was served through it, if one was. */
  served_at: string | null;
  token_expires_at: string | null;
  /** How long the present step has been waited for. */
  waited_ms: number;
  now_ms: number;
  /** Where agents reach the controller. */
  controller: string;
}

/** The four steps from a token to a proved connection, and why the first that is missing stays away. */
export function stepsOf(known: Known): Step[] {
  const { connector } = known;
  const done = [
    connector.enrolled,
    connector.enrolled && connector.online,
    connector.enrolled && connector.online && (connector.relays ?? []).length > 0,
    known.served_at !== null,
  ];
  const first = done.indexOf(false);
  const labels = ["Enrolled", "Connected to the controller", "Attached to a relay", "A real connection to a resource"];
  const details = [
    "It made its own key; the token is used up.",
    [connector.hostname, connector.software].filter(Boolean).join(" · "),
    `${(connector.relays ?? []).length} of them`,
    "",
  ];
  return labels.map((label, index) => {
    if (done[index]) return { label, state: "done", detail: details[index] || undefined };
    if (index !== first) return { label, state: "later" };
    return { label, state: "waiting", cause: causeOf(index, known) };
  });
}

function causeOf(step: number, known: Known): string | undefined {
  const { connector, relays, token_expires_at, now_ms } = known;
  if (step === 0 && token_expires_at && new Date(token_expires_at).getTime() <= now_ms) {
    return "The token has expired: make a new one.";
  }
  if (step === 2 && relays?.length === 0) return "There is no relay yet: add one first.";
  if (step === 3) {
    if (known.resources === 0) return "The network has no resource yet: add one, and grant it to somebody.";
    return "Nobody has connected yet: grant a resource of this network to yourself and open it.";
  }
  if (known.waited_ms < PATIENCE_MS) return undefined;
  if (step === 0) {
    return `The token was not used yet: run the command. The host must reach ${known.controller}, outbound only.`;
  }
  const offset = connector.clock_offset_ms ?? 0;
  if (Math.abs(offset) > CLOCK_OFF_MS) {
    return `Its clock is off by ${Math.round(Math.abs(offset) / 1000)} s: set it, for example with chrony or systemd-timesyncd.`;
  }
  if (step === 1) {
    return `It enrolled and does not run, or does not reach ${known.controller}: see \`ostiary-connector status\` and its log.`;
  }
  const live = relays?.filter((relay) => relay.online) ?? [];
  if (relays && live.length === 0) return "No relay is connected to the controller: look at the relays.";
  const where = live.map(({ fqdn, port }) => `${fqdn}:${port}`).join(", ");
  return `It reaches the controller, but no relay${where && ` (${where})`}: allow outbound TCP to it and resolve its name there.`;
}
