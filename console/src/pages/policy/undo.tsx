import { Button } from "@mantine/core";
import { IconArrowBackUp } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, call } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { toldProblem } from "~/components/notify";

/** Plans what takes an event back: the plan is looked at, approved and applied like each other one. */
export function UndoButton({ position, label = "Undo" }: { position: number; label?: string }) {
  const may = useMay();
  const navigate = useNavigate();
  const undo = useMutation({
    mutationFn: () => call(api.POST("/api/v1/events/{position}/undo", { params: { path: { position } } })),
    onSuccess: async (plan) => {
      queryClient.setQueryData(["plans", plan.hash], plan);
      await navigate({ to: `/plans/${plan.hash}` } as never);
    },
    onError: toldProblem,
  });
  if (!may("plans:read")) return null;
  return (
    <Button
      variant="default"
      leftSection={<IconArrowBackUp size={16} />}
      loading={undo.isPending}
      onClick={() => undo.mutate()}
    >
      {label}
    </Button>
  );
}
