import { Alert, Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCheck, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay, useMe } from "~/api/session";
import { CommandBlock, CopyId } from "~/components/copy";
import { PageLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Time } from "~/components/time";
import { durationText } from "~/pages/policy/durations";
import { NamedLink } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { ApproveDrawer, DenyDrawer } from "./answers";
import { type AccessRequest, requestQuery, targetText } from "./queries";
import { RequestState } from "./status";

export default function RequestPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: request, error, refetch } = useQuery(requestQuery(id));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!request) return <PagePending />;
  return <RequestFacts request={request} />;
}

function RequestFacts({ request }: { request: AccessRequest }) {
  const may = useMay();
  const me = useMe();
  const [approving, yes] = useDisclosure();
  const [denying, no] = useDisclosure();
  const open = request.status === "open";
  const mine = request.user === me.id;
  const answers = open && !mine && may("requests:write");
  return (
    <Page
      title={`${request.user_name ?? request.user} asks for ${targetText(request)}`}
      subtitle={<CopyId id={request.id} />}
      actions={
        answers && (
          <>
            <Button variant="default" leftSection={<IconX size={16} />} onClick={no.open}>
              Deny
            </Button>
            <Button leftSection={<IconCheck size={16} />} onClick={yes.open}>
              Approve
            </Button>
          </>
        )
      }
    >
      {open && mine && (
        <Alert color="gate" variant="light" title="Somebody else answers it">
          Nobody answers his own request, whatever his role.
        </Alert>
      )}
      <Facts facts={[...factsOf(request), ...answerOf(request)]} />
      {answers && <CommandBlock command={`ostiary admin requests approve ${request.id}`} />}
      <ApproveDrawer opened={approving} onClose={yes.close} request={request} />
      <DenyDrawer opened={denying} onClose={no.close} request={request} />
    </Page>
  );
}

function factsOf(request: AccessRequest): [string, React.ReactNode][] {
  const { candidates = [] } = request;
  return [
    ["State", <RequestState key="state" {...request} />],
    [
      "Who",
      <PageLink key="who" to={`/users/${request.user}`}>
        {request.user_name ?? request.user}
      </PageLink>,
    ],
    ["On", request.device ? <NamedLink key="device" kind="device" id={request.device} /> : "asked over the API"],
    ["Why", request.reason || "–"],
    ["For", durationText(request.duration_s)],
    ["Asked", <Time key="asked" at={request.created_at} both />],
    ["Closes by itself", <Time key="closes" at={request.expires_at} both />],
    [
      "Can mean",
      candidates.length === 0
        ? "no resource that we know"
        : candidates.map(({ id, name, address }) => (
            <div key={id}>
              <PageLink to={`/resources/${id}`}>{name}</PageLink> ({address})
            </div>
          )),
    ],
  ];
}

function answerOf(request: AccessRequest): [string, React.ReactNode][] {
  const facts: [string, React.ReactNode][] = [];
  if (request.answered_at) facts.push(["Answered", <Time key="answered" at={request.answered_at} both />]);
  if (request.answered_by) facts.push(["By", <NamedLink key="by" kind="user" id={request.answered_by} />]);
  if (request.answer) facts.push(["Answer", request.answer]);
  if (request.grant) {
    facts.push([
      "Grant",
      <PageLink key="grant" to={`/grants/${request.grant}`}>
        {request.grant}
      </PageLink>,
    ]);
  }
  if (request.granted_until) facts.push(["Until", <Time key="until" at={request.granted_until} both />]);
  return facts;
}
