import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { GrpcWebClientBase, MethodDescriptor, MethodType } from "grpc-web";
import { TaskEventSchema, WatchTaskRequestSchema } from "./generated/a2a/gateway/v1/gateway_pb.js";

const WATCH = new MethodDescriptor(
  "/a2a.gateway.v1.Gateway/WatchTask",
  MethodType.SERVER_STREAMING,
  Object,
  Object,
  (request) => toBinary(WatchTaskRequestSchema, request),
  (bytes) => fromBinary(TaskEventSchema, bytes),
);

/** As the other watch, by the older library and in base64, the only form in which it streams. */
export function watch(baseUrl, request, show) {
  const client = new GrpcWebClientBase({ format: "text" });
  return new Promise((resolve, reject) => {
    const stream = client.serverStreaming(baseUrl + WATCH.getName(), request, {}, WATCH);
    stream.on("data", show);
    stream.on("error", reject);
    stream.on("status", ({ code }) => code === 0 && resolve());
  });
}
