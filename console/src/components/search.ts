import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

/**
 * Filters that live in the URL, so that every view has a link: `const [filters, setFilters] = useFilters()`.
 *
 * An empty value leaves the URL. Going back undoes leaving the page, not each keystroke.
 */
export function useFilters(): [Record<string, string | undefined>, (change: Record<string, string | null>) => void] {
  const search = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const filters: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(search)) {
    if (value !== undefined && value !== null) filters[name] = String(value);
  }
  const change = useCallback(
    (changed: Record<string, string | null>) => {
      const next = (old: Record<string, unknown>) => {
        const merged: Record<string, unknown> = { ...old, ...changed };
        for (const name of Object.keys(merged)) if (merged[name] === null || merged[name] === "") delete merged[name];
        return merged;
      };
      navigate({ search: next, replace: true } as never);
    },
    [navigate],
  );
  return [filters, change];
}
