import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { Until } from "~/pages/grants/until";
import { useEntry } from "~/pages/policy/directory";
import { NamedLink, Subject } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { blastOf, type Exclusion, exclusionQuery, removeExclusion } from "./queries";

export default function ExclusionPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: exclusion, error, refetch } = useQuery(exclusionQuery(id));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!exclusion) return <PagePending />;
  return <ExclusionFacts exclusion={exclusion} />;
}

function ExclusionFacts({ exclusion }: { exclusion: Exclusion }) {
  const may = useMay();
  const who = useEntry(exclusion.subject_kind, exclusion.subject).label;
  const what = useEntry("resource", exclusion.resource).label;
  return (
    <Page
      title={`${who} never reaches ${what}`}
      subtitle={<CopyId id={exclusion.id} />}
      actions={
        may("policies:write") && (
          <Removal
            name={`the exclusion of ${who} from ${what}`}
            noun="exclusion"
            done="The exclusion is removed."
            queryKey={exclusionQuery(exclusion.id).queryKey}
            blast={() => blastOf(exclusion)}
            act={() => removeExclusion(exclusion)}
          />
        )
      }
    >
      <Facts
        facts={[
          ["Who", <Subject key="who" kind={exclusion.subject_kind} id={exclusion.subject} />],
          ["Never reaches", <NamedLink key="what" kind="resource" id={exclusion.resource} />],
          ["Until", <Until key="until" {...exclusion} />],
          ["Since", <Time key="since" at={exclusion.created_at} both />],
        ]}
      />
    </Page>
  );
}
