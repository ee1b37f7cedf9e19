import { Alert, Button, FileButton, Group, Stack, Switch, Textarea } from "@mantine/core";
import { IconFileDownload, IconFileUpload } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { problemOf } from "~/api/problem";
import { CommandBlock } from "~/components/copy";
import { Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { draftOf, exportPolicy, lineRange, makePlan } from "./queries";

const EXAMPLE = `groups:
  - name: engineers
    members: [ada@corp.example]
grants:
  - {to: "group:engineers", resource: wiki}
expect:
  - ada@corp.example can reach wiki:443
`;
/** The API takes no more. */
const BYTES_MAX = 1_048_576;

export default function NewPlanPage() {
  const navigate = useNavigate();
  const [{ from }] = useFilters();
  const before = from ? draftOf(from) : undefined;
  const [document, setDocument] = useState(before?.document ?? "");
  const [prune, setPrune] = useState(before?.prune ?? false);
  const [tooLarge, setTooLarge] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const start = useMutation({ mutationFn: exportPolicy, onSuccess: (made) => setDocument(made.document) });
  const plan = useMutation({
    mutationFn: () => makePlan({ document, prune }),
    onSuccess: ({ hash }) => navigate({ to: `/plans/${hash}` } as never),
  });
  const upload = async (file: File | null) => {
    if (!file) return;
    setTooLarge(file.size > BYTES_MAX);
    if (file.size <= BYTES_MAX) setDocument(await file.text());
  };
  const fault = plan.error ? problemOf(plan.error) : null;
  const line = Number(fault?.detail.match(/\bline (\d+)/)?.[1] ?? Number.NaN);
  const show = () => {
    area.current?.focus();
    area.current?.setSelectionRange(...lineRange(document, line));
  };
  return (
    <Page
      title="New plan"
      subtitle="Paste, upload or start from the policy as it is. Planning changes nothing."
      actions={
        <>
          <Button
            variant="default"
            leftSection={<IconFileDownload size={16} />}
            loading={start.isPending}
            onClick={() => start.mutate()}
          >
            Start from the policy as it is
          </Button>
          <FileButton accept=".yaml,.yml,text/yaml,application/yaml" onChange={upload}>
            {(props) => (
              <Button variant="default" leftSection={<IconFileUpload size={16} />} {...props}>
                Upload policy.yaml
              </Button>
            )}
          </FileButton>
        </>
      }
    >
      <ProblemAlert error={start.error} />
      {tooLarge && (
        <Alert color="red" variant="light" role="alert" title="The file is too large">
          A policy document has at most 1 MiB.
        </Alert>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          plan.mutate();
        }}
      >
        <Stack>
          <Textarea
            ref={area}
            label="Document"
            description="What it names becomes as it says; sections that are absent are left alone."
            placeholder={EXAMPLE}
            required
            autosize
            minRows={14}
            maxRows={32}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
            value={document}
            onChange={(event) => setDocument(event.currentTarget.value)}
            error={fault?.field === "document" ? fault.detail : undefined}
          />
          <Switch
            label="Also remove what its sections do not name"
            description="prune"
            checked={prune}
            onChange={(event) => setPrune(event.currentTarget.checked)}
          />
          {fault?.field !== "document" && <ProblemAlert error={plan.error} />}
          <Group justify="flex-end">
            {!Number.isNaN(line) && (
              <Button variant="default" onClick={show}>
                Show line {line}
              </Button>
            )}
            <Button type="submit" loading={plan.isPending} disabled={document.trim() === ""}>
              Plan
            </Button>
          </Group>
        </Stack>
      </form>
      <CommandBlock command={`ostiary admin apply -f policy.yaml --dry-run${prune ? " --prune" : ""}`} />
    </Page>
  );
}
