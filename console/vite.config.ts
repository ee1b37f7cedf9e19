import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { compress } from "./compress.ts";

// `OSTIARY_CONTROLLER=https://… npm run dev` works on the console against a running controller. Its public URL must be
// that of the development server, because writes are taken from the controller's own origin only.
const controller = process.env.OSTIARY_CONTROLLER;

export default defineConfig({
  plugins: [react(), compress()],
  resolve: { alias: { "~": new URL("./src", import.meta.url).pathname } },
  build: {
    target: "es2022",
    manifest: true,
    // Whatever is loaded comes from /assets: the content policy allows no `data:` URLs.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    reportCompressedSize: false,
  },
  server: controller ? { proxy: { "/api": { target: controller, secure: false } } } : {},
  test: { environment: "jsdom", setupFiles: ["./src/testing/setup.ts"], include: ["src/**/*.test.{ts,tsx}"] },
});
