import { Alert, Button, Stack, Tabs } from "@mantine/core";
import { IconEdit, IconKey } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "~/api/client";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { portsText, shellWord } from "~/components/words";
import { PagePending } from "~/shell/fallbacks";
import { EditDrawer } from "./edit-drawer";
import { blastOf, networksQuery, type Resource, removeResource, resourceQuery, useAccess } from "./queries";

export default function ResourcePage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const [edited, setEdited] = useState<Resource>();
  const { data: resource, error, refetch } = useQuery(resourceQuery(id));
  const { data: networks = [] } = useQuery({ ...networksQuery, enabled: may("networks:read") });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!resource) return <PagePending />;
  return (
    <Page
      title={resource.name}
      subtitle={<CopyId id={resource.id} />}
      actions={
        may("resources:write") && (
          <>
            <Button variant="default" leftSection={<IconEdit size={16} />} onClick={() => setEdited(resource)}>
              Edit
            </Button>
            <Removal
              name={resource.name}
              noun="resource"
              queryKey={resourceQuery(id).queryKey}
              blast={() => blastOf(resource)}
              act={() => removeResource(resource)}
            />
          </>
        )
      }
    >
      <Facts
        facts={[
          ["Address", resource.address],
          ["Ports", portsText(resource.ports)],
          [
            "Network",
            <PageLink key="network" to={`/networks/${resource.network}`}>
              {networks.find((network) => network.id === resource.network)?.name ?? resource.network}
            </PageLink>,
          ],
          ["Outlives the controller", `${resource.lease_s} s`],
        ]}
      />
      {resource.ties.length > 0 && <Ties ties={resource.ties} />}
      <Tabs defaultValue="access" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="access">Who reaches it</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="access" pt="md">
          <Access resource={resource} />
        </Tabs.Panel>
      </Tabs>
      {edited && <EditDrawer opened onClose={() => setEdited(undefined)} resource={edited} />}
    </Page>
  );
}

/** Networks whose addresses overlap: who may reach both reaches one of them by the address. */
function Ties({ ties }: { ties: Schemas["ResourceTie"][] }) {
  return (
    <Alert color="orange" variant="light" title="Resources of other networks cover the same address">
      <Stack gap={2}>
        {ties.map((tie) => (
          <span key={tie.id}>
            <PageLink c="inherit" underline="always" to={`/resources/${tie.id}`}>
              {tie.name}
            </PageLink>{" "}
            in {tie.network_name}
            {tie.decides && ": the address alone means that one"}
          </span>
        ))}
      </Stack>
    </Alert>
  );
}

function Access({ resource }: { resource: Resource }) {
  const access = useAccess(resource.id);
  const columns: Column<Schemas["AccessLine"]>[] = [
    {
      label: "Who",
      cell: ({ subject, subject_name, subject_kind }) => (
        <PageLink to={`/${subject_kind === "user" ? "users" : "service-accounts"}/${subject}`}>
          {subject_name ?? subject}
        </PageLink>
      ),
    },
    { label: "Device", cell: (line) => line.device_name ?? line.device, wide: true },
    { label: "Verdict", cell: ({ verdict, reason }) => (reason ? `${verdict} (${reason})` : verdict) },
    { label: "Since", cell: ({ since }) => <Time at={since} /> },
    {
      label: "Because of",
      cell: ({ because }) => because.map((cited) => `${cited.type} #${cited.event}`).join(", "),
      wide: true,
    },
  ];
  return (
    <PagedTable
      label="Who reaches it"
      query={access}
      columns={columns}
      keyOf={(line) => `${line.subject}/${line.device}`}
      empty={
        <EmptyState
          icon={IconKey}
          command={`ostiary admin grant create --to group:engineers --resource ${shellWord(resource.name)}`}
        >
          Nobody reaches it now: no grant leads to it, or nobody whom one names has signed in on a device.
        </EmptyState>
      }
    />
  );
}
