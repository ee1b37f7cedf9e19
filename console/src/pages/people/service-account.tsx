import { Button, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { PageLink } from "~/components/links";
import { told } from "~/components/notify";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import { EnrolService } from "./enrol-service";
import { blastOfSubject, changeServiceAccount, removeServiceAccount, serviceAccountQuery } from "./queries";
import { AccessOf, DevicesOf } from "./user-tabs";

export default function ServiceAccountPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const [disabling, disabled] = useDisclosure();
  const [enrolling, enrolment] = useDisclosure();
  const { data: account, error, refetch } = useQuery(serviceAccountQuery(id));
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["service-accounts"] });
  const enabling = useMutation({
    mutationFn: async () => account && changeServiceAccount(account, false),
    onSuccess: async () => {
      await refresh();
      told("The account is enabled.");
    },
  });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!account) return <PagePending />;
  return (
    <Page
      title={account.name}
      subtitle={<CopyId id={account.id} />}
      actions={
        may("service-accounts:write") && (
          <>
            <Button leftSection={<IconKey size={16} />} onClick={enrolment.open}>
              Enrol a host
            </Button>
            {account.disabled ? (
              <Button variant="default" loading={enabling.isPending} onClick={() => enabling.mutate()}>
                Enable
              </Button>
            ) : (
              <Button variant="default" onClick={disabled.open}>
                Disable
              </Button>
            )}
            <Removal
              name={account.name}
              noun="account"
              queryKey={serviceAccountQuery(id).queryKey}
              blast={() => blastOfSubject(account.id, null)}
              act={() => removeServiceAccount(account)}
            />
          </>
        )
      }
    >
      <ProblemAlert error={enabling.error} />
      <Facts
        facts={[
          [
            "State",
            <Status
              key="state"
              kind={account.disabled ? "bad" : "good"}
              label={account.disabled ? "Disabled" : "Enabled"}
            />,
          ],
          [
            "Grants",
            <PageLink key="grants" to="/grants" search={{ subject: account.id }}>
              What it was given
            </PageLink>,
          ],
          ["Made", <Time key="made" at={account.created_at} both />],
        ]}
      />
      {may("devices:read") && (
        <section aria-label="Hosts">
          <Title order={2} size="h4" mb="xs">
            Hosts
          </Title>
          <DevicesOf owner={account.id} />
        </section>
      )}
      {may("access:read") && (
        <section aria-label="What it reaches">
          <Title order={2} size="h4" mb="xs">
            What it reaches
          </Title>
          <AccessOf user={account.id} />
        </section>
      )}
      <EnrolService opened={enrolling} onClose={enrolment.close} account={account} />
      <ConfirmDanger
        opened={disabling}
        onClose={disabled.close}
        title={`Disable ${account.name}?`}
        verb="Disable"
        blast={() => blastOfSubject(account.id, "Enabling it gives all of it back.")}
        act={() => changeServiceAccount(account, true)}
        done={refresh}
      />
    </Page>
  );
}
