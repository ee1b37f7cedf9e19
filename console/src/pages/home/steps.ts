import type { Schemas } from "~/api/client";

type Missing = NonNullable<Schemas["FirstConnection"]["next"]>;

export interface Step {
  label: string;
  /** What to do, in a sentence. */
  text: string;
  action: string;
  to: string;
  command: string;
}

/** The way to the first connection, in the order in which the API looks for what is missing. */
export const STEPS: Record<Missing, Step> = {
  network: {
    label: "Network",
    text: "Name the place that has something to reach: an office, a data centre, a cloud account.",
    action: "Make a network",
    to: "/networks?create=1",
    command: "ostiary admin network create office",
  },
  connector: {
    label: "Connector",
    text: "A connector runs in that network and dials what people may reach; it needs no open port.",
    action: "Deploy a connector",
    to: "/networks",
    command: "ostiary admin connector create office-1 --network office",
  },
  connector_online: {
    label: "Connector online",
    text: "The connector has not reached the controller yet: start it, and look at its log and its clock.",
    action: "Look at the connectors",
    to: "/connectors",
    command: "ostiary admin connector list",
  },
  relay: {
    label: "Relay",
    text: "No relay is connected: clients and connectors meet there.",
    action: "Look at the relays",
    to: "/relays",
    command: "ostiary admin relay list",
  },
  resource: {
    label: "Resource",
    text: "Say what can be reached: a name or an address, and its ports.",
    action: "Make a resource",
    to: "/resources?create=1",
    command: "ostiary admin resource create wiki --network office --address wiki.corp.internal --tcp 443",
  },
  grant: {
    label: "Grant",
    text: "Nobody reaches anything without a grant: give one to a group or to a person.",
    action: "Make a grant",
    to: "/grants?create=1",
    command: "ostiary admin grant create --to group:engineers --resource wiki",
  },
  client: {
    label: "Client",
    text: "Install the client on a device and sign in there.",
    action: "Look at the devices",
    to: "/devices",
    command: "ostiary login",
  },
  connection: {
    label: "Connection",
    text: "Everything is there: open the resource from a device that is signed in.",
    action: "Look at the connections",
    to: "/connections",
    command: "ostiary ping wiki",
  },
};

/** How many steps are done. */
export function stepsDone(next: Missing | null): number {
  return next === null ? Object.keys(STEPS).length : Object.keys(STEPS).indexOf(next);
}
