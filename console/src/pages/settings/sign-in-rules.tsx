import { Button, Group, Radio, Stack } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { CommandBlock } from "~/components/copy";
import { told } from "~/components/notify";
import { Overtaken } from "~/components/overtaken";
import { Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { PagePending } from "~/shell/fallbacks";
import { changeRules, rulesQuery } from "./queries";

type Rule = Schemas["SignInRules"]["second_factor_for"];

const CHOICES: { value: Rule; label: string; description: string }[] = [
  { value: "nobody", label: "Nobody", description: "Who has a second factor is asked for it; nobody must have one." },
  {
    value: "staff",
    label: "Staff",
    description: "Everybody with a role above member must have one, before anything else can be administered.",
  },
  { value: "everybody", label: "Everybody", description: "Members, too: without one nobody gets past the sign-in." },
];

export default function SignInRulesPage() {
  const may = useMay();
  const { data: rules, error, refetch } = useQuery(rulesQuery);
  // With the version that was shown when it was chosen: another's choice is not overwritten without a word.
  const [chosen, setChosen] = useState<{ rule: Rule; version: number } | null>(null);
  const saving = useMutation({
    mutationFn: async () => chosen && changeRules(chosen.version, { second_factor_for: chosen.rule }),
    onSuccess: async () => {
      setChosen(null);
      await queryClient.invalidateQueries({ queryKey: rulesQuery.queryKey });
      told("The rule is in force; sessions without a second factor are asked for one.");
    },
  });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!rules) return <PagePending />;
  const now = chosen?.rule ?? rules.second_factor_for;
  const choose = (value: string) => setChosen({ rule: value as Rule, version: rules.version });
  return (
    <Page title="Sign-in rules" subtitle="Who must have a second factor.">
      <Radio.Group label="A second factor is required of" value={now} onChange={choose}>
        <Stack mt="sm">
          {CHOICES.map(({ value, label, description }) => (
            <Radio
              key={value}
              value={value}
              label={label}
              description={description}
              disabled={!may("settings:write")}
            />
          ))}
        </Stack>
      </Radio.Group>
      {chosen && chosen.version !== rules.version && <Overtaken again={() => setChosen(null)} />}
      <ProblemAlert error={saving.error} />
      {may("settings:write") && (
        <Group>
          <Button disabled={now === rules.second_factor_for} loading={saving.isPending} onClick={() => saving.mutate()}>
            Save
          </Button>
        </Group>
      )}
      <CommandBlock command="ostiary admin session rules --second-factor-for staff" />
    </Page>
  );
}
