import { useDebouncedValue } from "@mantine/hooks";
import { createSpotlight, Spotlight } from "@mantine/spotlight";
import { IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useMe } from "~/api/session";
import { areas } from "~/areas";
import { navOf } from "~/shell/navigation";

const SHOWN_MAX = 8;
const [store, actions] = createSpotlight();

/** Goes to pages, and finds things by name or id: Ctrl-K. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const me = useMe();
  const router = useRouter();
  useEffect(() => actions.open(), []);
  const [typed, setTyped] = useState("");
  const [asked] = useDebouncedValue(typed.trim(), 200);
  const { data: found = [], isFetching } = useQuery({
    queryKey: ["find", asked],
    enabled: asked.length > 1,
    queryFn: () => findAll(asked, me.permissions),
  });
  const go = (to: string) => {
    actions.close();
    router.navigate({ to } as never);
  };
  const wanted = typed.trim().toLowerCase();
  const pages = navOf(me)
    .flatMap(([section, entries]) => entries.map((entry) => ({ ...entry, section })))
    .filter(({ label, section }) => `${section} ${label}`.toLowerCase().includes(wanted))
    .slice(0, SHOWN_MAX);
  return (
    <Spotlight.Root store={store} onSpotlightClose={onClose} query={typed} onQueryChange={setTyped} shortcut={null}>
      <Spotlight.Search
        placeholder="A page, a name or an id"
        aria-label="Go to"
        leftSection={<IconSearch size={18} stroke={1.6} />}
      />
      <Spotlight.ActionsList mah={420} style={{ overflowY: "auto" }}>
        {pages.map(({ to, label, section, icon: Icon }) => (
          <Spotlight.Action
            key={to}
            label={label}
            description={section}
            leftSection={<Icon size={18} stroke={1.6} />}
            onClick={() => go(to)}
          />
        ))}
        {found.map(({ to, label, description }) => (
          <Spotlight.Action key={to} label={label} description={description} onClick={() => go(to)} />
        ))}
        {pages.length + found.length === 0 && (
          <Spotlight.Empty>{isFetching ? "Looking …" : "Nothing is called that."}</Spotlight.Empty>
        )}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}

/** Asks all areas at once; one that fails finds nothing. */
async function findAll(typed: string, permissions: readonly string[]) {
  const searches = areas.flatMap(({ find }) =>
    find && permissions.includes(find.permission) ? [find.search(typed)] : [],
  );
  const answers = await Promise.allSettled(searches);
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value.slice(0, SHOWN_MAX) : []));
}
