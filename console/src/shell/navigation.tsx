import { NavLink, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Me } from "~/api/session";
import { type NavEntry, SECTIONS } from "~/area";
import { areas } from "~/areas";

/** The entries that a person may open, section by section. */
export function navOf(me: Me): [string, NavEntry[]][] {
  const open = areas
    .flatMap((area) => area.nav ?? [])
    .filter(({ permission }) => permission === undefined || me.permissions.includes(permission));
  return SECTIONS.map((section): [string, NavEntry[]] => [
    section,
    open.filter((entry) => entry.section === section).sort((a, b) => a.order - b.order),
  ]).filter(([, entries]) => entries.length > 0);
}

export function Navigation({ me, path }: { me: Me; path: string }) {
  return navOf(me).map(([section, entries]) => (
    <section key={section} aria-label={section}>
      <Text size="xs" fw={600} c="dimmed" px="sm" pt="sm" pb={4}>
        {section}
      </Text>
      {entries.map(({ to, label, icon: Icon }) => {
        const active = to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`);
        return (
          <NavLink
            key={to}
            component={Link}
            {...({ to } as object)}
            label={label}
            leftSection={<Icon size={18} stroke={1.6} />}
            active={active}
            aria-current={active ? "page" : undefined}
            py={6}
          />
        );
      })}
    </section>
  ));
}
