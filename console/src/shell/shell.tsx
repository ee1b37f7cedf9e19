import {
  ActionIcon,
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  Kbd,
  Menu,
  ScrollArea,
  Text,
  Tooltip,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconLogout, IconSearch, IconUser } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useRouter, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { liveStream, useLive } from "~/api/live";
import { signedOut } from "~/api/queries";
import { meQuery, signOut } from "~/api/session";
import { toldProblem } from "~/components/notify";
import { Time, timeZone } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import { Navigation } from "~/shell/navigation";
import { SchemeSwitch } from "~/shell/scheme-switch";

const Palette = lazy(() => import("~/shell/palette"));

/** Sidebar, header and the page. Nothing is shown before somebody is signed in. */
export function Shell() {
  const { data: me } = useQuery(meQuery);
  const [opened, { toggle, close }] = useDisclosure();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path);

  useEffect(() => {
    liveStream.start();
    return () => liveStream.stop();
  }, []);

  // A new page begins where its content does, for people who hear it as well.
  useEffect(() => {
    if (shown.current !== path) main.current?.focus({ preventScroll: true });
    shown.current = path;
    close();
  }, [path, close]);

  // The session has ended while the page was open: the stream said so, and whoever is asked again is nobody.
  useEffect(() => {
    if (me === null) signedOut();
  }, [me]);

  if (!me) return <PagePending />;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 232, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding={{ base: "md", md: "lg" }}
    >
      <a className="skip-link" href="#content">
        Skip to the content
      </a>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
            <Link to={"/" as never} aria-label="Home" style={{ display: "flex" }}>
              <img src="/icon.svg" width={28} height={28} alt="" />
            </Link>
            <Text fw={650} visibleFrom="xs">
              Ostiary
            </Text>
          </Group>
          <Group gap="sm" wrap="nowrap">
            <LiveBadge />
            <PaletteButton />
            <SchemeSwitch />
            <PersonMenu name={me.name ?? me.email ?? me.id} role={me.role} />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Pages">
        <AppShell.Section grow component={ScrollArea}>
          <Navigation me={me} path={path} />
        </AppShell.Section>
        <AppShell.Section p="xs">
          <Text size="xs" c="dimmed">
            Times in {timeZone}
          </Text>
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main ref={main} id="content" tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function LiveBadge() {
  const { connected, since } = useLive();
  return (
    <Tooltip label={connected ? "What you see follows the controller" : "Asked anew each 15 seconds until it answers"}>
      <Badge
        variant="dot"
        color={connected ? "teal" : "gray"}
        tt="none"
        fw={500}
        tabIndex={0}
        role="status"
        visibleFrom="xs"
      >
        {connected ? "Live" : "Not live"} · <Time at={since} />
      </Badge>
    </Tooltip>
  );
}

function PaletteButton() {
  const [wanted, setWanted] = useState(false);
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setWanted(true);
      }
    };
    window.addEventListener("keydown", open);
    return () => window.removeEventListener("keydown", open);
  }, []);
  return (
    <>
      <Button
        variant="default"
        size="xs"
        leftSection={<IconSearch size={14} />}
        rightSection={<Kbd size="xs">Ctrl K</Kbd>}
        onClick={() => setWanted(true)}
        visibleFrom="md"
      >
        Go to …
      </Button>
      <ActionIcon variant="default" size="lg" onClick={() => setWanted(true)} hiddenFrom="md" aria-label="Go to …">
        <IconSearch size={16} />
      </ActionIcon>
      {wanted && (
        <Suspense>
          <Palette onClose={() => setWanted(false)} />
        </Suspense>
      )}
    </>
  );
}

function PersonMenu({ name, role }: { name: string; role: string }) {
  const router = useRouter();
  const leave = async () => {
    try {
      await signOut();
      await router.navigate({ to: "/sign-in" } as never);
    } catch (error) {
      toldProblem(error);
    }
  };
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label={`Signed in as ${name}`}>
          <IconUser size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label className="isolated">
          {name.slice(0, 80)} · {role}
        </Menu.Label>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={leave}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
