import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { ButtonLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { useEntry } from "~/pages/policy/directory";
import { NamedLink, Subject } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { blastOf, type Grant, grantQuery, revokeGrant } from "./queries";
import { Until } from "./until";

export default function GrantPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: grant, error, refetch } = useQuery(grantQuery(id));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!grant) return <PagePending />;
  return <GrantFacts grant={grant} />;
}

function GrantFacts({ grant }: { grant: Grant }) {
  const may = useMay();
  const who = useEntry(grant.subject_kind, grant.subject).label;
  const what = useEntry("resource", grant.resource).label;
  return (
    <Page
      title={`${who} → ${what}`}
      subtitle={<CopyId id={grant.id} />}
      actions={
        <>
          <ButtonLink variant="default" to="/topology" search={{ focus: grant.id }}>
            Show in the topology
          </ButtonLink>
          {may("grants:write") && (
            <Removal
              name={`the grant of ${who} on ${what}`}
              noun="grant"
              label="Revoke"
              done="The grant is revoked."
              queryKey={grantQuery(grant.id).queryKey}
              blast={() => blastOf(grant)}
              act={() => revokeGrant(grant)}
            />
          )}
        </>
      }
    >
      <Facts
        facts={[
          ["Who", <Subject key="who" kind={grant.subject_kind} id={grant.subject} />],
          ["Reaches", <NamedLink key="what" kind="resource" id={grant.resource} />],
          ["Under", grant.policy ? <NamedLink key="policy" kind="policy" id={grant.policy} /> : "no conditions"],
          ["Until", <Until key="until" {...grant} />],
          ["Since", <Time key="since" at={grant.created_at} both />],
        ]}
      />
    </Page>
  );
}
