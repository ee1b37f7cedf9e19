import { Alert, SimpleGrid, TextInput } from "@mantine/core";
import { IconZoomQuestion } from "@tabler/icons-react";
import { useState } from "react";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { type Entry, useEntries } from "~/pages/policy/directory";
import { FilterPicker } from "~/pages/policy/filter-picker";
import { PagePending } from "~/shell/fallbacks";
import { covering, parseTarget } from "./addresses";
import { Answer } from "./answer";
import { HistoryPanel } from "./history";
import { MomentField } from "./moment-field";
import { useAnswer } from "./queries";

/** Who can, and could, reach what, and why: every answer is the API's, and has a link. */
export default function ExplorerPage() {
  const [filters, setFilters] = useFilters();
  const { user, resource, device, at, port } = filters;
  const answer = useAnswer({ user, resource, at });
  const asked = Boolean(user || resource);
  return (
    <Page title="Access explorer" subtitle="Can this person, on this device, reach this, now or at any time before?">
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
        <FilterPicker kind="user" label="Person" field="user" placeholder="Anybody" clears={["device"]} />
        <FilterPicker
          kind="service_account"
          label="Service account"
          field="user"
          placeholder="None"
          clears={["device"]}
        />
        <FilterPicker kind="device" label="Device" field="device" placeholder="Any" />
        <FilterPicker kind="resource" label="Resource" field="resource" placeholder="Anything" clears={["port"]} />
        <AddressField chosen={(id, wanted) => setFilters({ resource: id, port: wanted ? String(wanted) : null })} />
        <MomentField key={at} at={at} setAt={(moment) => setFilters({ at: moment })} />
      </SimpleGrid>
      <ProblemAlert error={answer.error} retry={() => answer.refetch()} />
      {!asked && (
        <EmptyState
          icon={IconZoomQuestion}
          command="ostiary admin access explain --user grace@corp.example --resource wiki --at 3d --denied"
        >
          Choose a person, a resource, or both. The answer is the one that the evaluator gave, or would have given, at
          that moment, with the events that justify it.
        </EmptyState>
      )}
      {asked && answer.isPending && <PagePending />}
      {asked && answer.data && <Answer answer={answer.data} device={device} port={port ? Number(port) : undefined} />}
      {user && resource && (
        <HistoryPanel
          user={user}
          resource={resource}
          device={device}
          since={filters.since}
          until={filters.until}
          at={at}
          change={setFilters}
        />
      )}
    </Page>
  );
}

interface AddressFieldProps {
  chosen: (resource: string, port: number | undefined) => void;
}

/** Finds the resources that cover a host; the narrowest is asked about, the others are named. */
function AddressField({ chosen }: AddressFieldProps) {
  const [typed, setTyped] = useState("");
  const [others, setOthers] = useState<Entry[] | null>(null);
  const { entries } = useEntries("resource");
  const look = () => {
    const target = parseTarget(typed);
    if (!target) return setOthers(null);
    const found = covering(
      target.host,
      entries.map((entry) => ({ ...entry, address: entry.hint ?? "" })),
    );
    setOthers(found);
    if (found[0]) chosen(found[0].id, target.port);
  };
  const none = others?.length === 0;
  return (
    <div>
      <TextInput
        label="Address and port"
        placeholder="db.corp.internal:5432"
        description="Finds its resource."
        inputWrapperOrder={["label", "input", "description", "error"]}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onBlur={look}
        onKeyDown={(event) => event.key === "Enter" && look()}
        error={none ? "No resource covers it, so nobody reaches it." : undefined}
      />
      {others && others.length > 1 && (
        <Alert mt="xs" color="orange" variant="light" title="Several resources cover it">
          {others.map(({ id, label, hint }) => (
            <div key={id}>
              <PageLink to={`/resources/${id}`}>{label}</PageLink> ({hint})
            </div>
          ))}
        </Alert>
      )}
    </div>
  );
}
