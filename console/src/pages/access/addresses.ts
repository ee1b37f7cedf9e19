/**
 * Which resources an address is about, so that somebody may ask by host and port. It only finds what to ask the API
 * about: what somebody reaches is the API's answer alone.
 */
interface Addressed {
  id: string;
  address: string;
}

export interface Target {
  host: string;
  port: number | undefined;
}

/** "db.corp.internal:5432", "10.0.0.5", "[2001:db8::1]:22", "https://wiki.corp.internal/x". */
export function parseTarget(typed: string): Target | undefined {
  const text = typed
    .trim()
    .toLowerCase()
    .replace(/^[a-z][a-z0-9+.-]*:\/\//, "")
    .replace(/\/.*$/, "");
  if (text === "") return undefined;
  const bracketed = text.match(/^\[([^\]]+)\](?::(\d+))?$/);
  if (bracketed) return { host: bracketed[1] ?? "", port: portOf(bracketed[2]) };
  if (text.split(":").length > 2) return { host: text, port: undefined };
  const [host = "", port] = text.split(":");
  return host ? { host: host.replace(/\.$/, ""), port: portOf(port) } : undefined;
}

function portOf(text: string | undefined): number | undefined {
  const port = Number(text);
  return text && Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

/** Those whose address covers the host, the narrowest first. */
export function covering<T extends Addressed>(host: string, resources: T[]): T[] {
  const found = resources.flatMap((resource) => {
    const width = widthOver(host, resource.address.toLowerCase());
    return width === undefined ? [] : [{ resource, width }];
  });
  return found.sort((a, b) => a.width - b.width).map(({ resource }) => resource);
}

/** How much wider an address is than the host that it covers, 0 for the same; undefined when it does not cover it. */
function widthOver(host: string, address: string): number | undefined {
  if (host === address) return 0;
  if (address.startsWith("*.")) {
    const suffix = address.slice(1);
    return host.endsWith(suffix) && host.length > suffix.length ? host.length - suffix.length : undefined;
  }
  const [network = "", prefix] = address.split("/");
  const bits = bitsOf(host);
  const range = bitsOf(network);
  if (!bits || !range || bits.length !== range.length) return undefined;
  const length = prefix === undefined ? range.length : Number(prefix);
  return bits.slice(0, length) === range.slice(0, length) ? bits.length - length : undefined;
}

/** An address as its bits, 32 or 128 of them; undefined for a name. */
export function bitsOf(address: string): string | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) {
    const parts = address.split(".").map(Number);
    return parts.every((part) => part < 256) ? parts.map((part) => binary(part, 8)).join("") : undefined;
  }
  if (!/^[0-9a-f:]+$/.test(address) || !address.includes(":")) return undefined;
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => half.split(":").filter(Boolean));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  return groups.every((group) => group.length <= 4)
    ? groups.map((group) => binary(Number.parseInt(group, 16), 16)).join("")
    : undefined;
}

const binary = (value: number, width: number) => value.toString(2).padStart(width, "0");

/** Whether a port is among those that the API named: "443", "8000-8100". */
export function includesPort(ranges: readonly string[], port: number): boolean {
  return ranges.some((range) => {
    const [low, high = low] = range.split("-").map(Number);
    return low !== undefined && high !== undefined && port >= low && port <= high;
  });
}
