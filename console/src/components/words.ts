import type { Schemas } from "~/api/client";

/** "1 grant", "14 people", "at least 200 grants" when there is another page. */
export function counted(count: number, one: string, many: string, more?: string | null): string {
  const text = `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
  return more ? `at least ${text}` : text;
}

/** "TCP 443, 8000-8100 · ping". */
export function portsText({ tcp = [], udp = [], icmp }: Schemas["Ports"]): string {
  const parts = [
    tcp.length > 0 && `TCP ${tcp.map(portRange).join(", ")}`,
    udp.length > 0 && `UDP ${udp.map(portRange).join(", ")}`,
    icmp && "ping",
  ].filter(Boolean);
  return parts.join(" · ") || "nothing";
}

function portRange(text: string): string {
  return text === "1-65535" ? "all ports" : text;
}

/** Ports as somebody types them, "443, 8000-8100", as the API takes them; it judges what they are. */
export function typedPorts(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];

/** "12.3 MB". */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < SIZES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${SIZES[unit]}`;
}

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w.@:/+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
