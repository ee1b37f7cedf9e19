import { shellWord } from "~/components/words";

/** One way to start an agent: what the tab is called, the command, and what it needs. */
export interface Way {
  value: string;
  label: string;
  command: string;
  note: string;
}

/** The token goes through a pipe: neither `ps` nor a container's inspection shows it. */
function piped(token: string): string {
  return `printf %s ${shellWord(token)}`;
}

/** A name that engines take for containers and volumes. */
export function containerName(role: string, name: string): string {
  const safe = name
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, "-")
    .replace(/^[-.]+|-+$/g, "")
    .slice(0, 40);
  return `ostiary-${safe || role}`;
}

/** How to start a connector or a relay with its token. */
export function waysOf(role: "connector" | "relay", name: string, token: string, port?: number): Way[] {
  const program = `ostiary-${role}`;
  const box = containerName(role, name);
  const hardened =
    "--cap-drop ALL --security-opt no-new-privileges --read-only --tmpfs /tmp --tmpfs /run/ostiary:uid=10001,gid=10001,mode=0700";
  const state = `-e OSTIARY_STATE_DIR=/var/lib/ostiary/${role} -e OSTIARY_RUNTIME_DIR=/run/ostiary -v ${box}:/var/lib/ostiary`;
  const published = port === undefined ? "" : ` -p ${port}:${port}`;
  return [
    {
      value: "systemd",
      label: "Package, systemd",
      command: `${piped(token)} | sudo ${program} enroll --token-file - \\\n  && sudo ${program} service install`,
      note: "With the Debian package, or in a venv below /opt. The service starts at once and after each boot.",
    },
    {
      value: "container",
      label: "Container",
      command: [
        `${piped(token)} | docker run --rm -i ${state} ostiary:0.1.0 \\\n  ${program} enroll --token-file - \\`,
        `  && docker run -d --name ${box} --restart unless-stopped${published} \\\n  ${hardened} \\\n  ${state} ostiary:0.1.0 ${program} run`,
      ].join("\n"),
      note: "The image of this source tree: docker build -t ostiary:0.1.0 . It runs without root; podman takes the same command.",
    },
    {
      value: "shell",
      label: "Shell",
      command: `${piped(token)} | ${program} enroll --token-file - \\\n  && ${program} run`,
      note: "In the foreground until Ctrl-C, as the user who runs it; the state folder must be that user's.",
    },
  ];
}
