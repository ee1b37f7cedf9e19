import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { told } from "~/components/notify";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
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
  const navigate = useNavigate();
  const [removing, dialog] = useDisclosure();
  const who = useEntry(exclusion.subject_kind, exclusion.subject).label;
  const what = useEntry("resource", exclusion.resource).label;
  const gone = async () => {
    await navigate({ to: "/exclusions" } as never);
    told("The exclusion is removed.");
    queryClient.removeQueries({ queryKey: exclusionQuery(exclusion.id).queryKey });
    await queryClient.invalidateQueries({ queryKey: ["exclusions"] });
  };
  return (
    <Page
      title={`${who} never reaches ${what}`}
      subtitle={<CopyId id={exclusion.id} />}
      actions={
        may("policies:write") && (
          <Button variant="default" leftSection={<IconTrash size={16} />} onClick={dialog.open}>
            Remove
          </Button>
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
      <ConfirmDanger
        opened={removing}
        onClose={dialog.close}
        title={`Remove the exclusion of ${who} from ${what}?`}
        verb="Remove exclusion"
        blast={() => blastOf(exclusion)}
        act={() => removeExclusion(exclusion)}
        done={gone}
      />
    </Page>
  );
}
