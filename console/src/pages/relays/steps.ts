import type { Step } from "~/pages/networks/steps";
import type { Relay } from "./queries";

const PATIENCE_MS = 20_000;

/** The three steps from a token to a relay in use. The controller dials the relay, never the other way round. */
export function relaySteps(relay: Relay, waited_ms: number): Step[] {
  const done = [relay.enrolled, relay.enrolled && relay.online, relay.enrolled && (relay.attachments ?? 0) > 0];
  const first = done.indexOf(false);
  const where = `${relay.fqdn}:${relay.port}`;
  const causes = [
    "The token was not used yet: run the command on the relay's host.",
    `The controller does not reach ${where}: open the port to the internet and let the name lead to that host.`,
    `No connector is attached: deploy one; it must reach ${where}, outbound.`,
  ];
  return ["Enrolled", "Reached by the controller", "A connector is attached"].map((label, index) => {
    if (done[index]) return { label, state: "done" };
    if (index !== first) return { label, state: "later" };
    return { label, state: "waiting", cause: waited_ms < PATIENCE_MS ? undefined : causes[index] };
  });
}
