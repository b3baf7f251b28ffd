import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.a2a.A2A;
import io.a2a.client.Client;
import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.client.TaskEvent;
import io.a2a.client.TaskUpdateEvent;
import io.a2a.client.config.ClientConfig;
import io.a2a.client.transport.grpc.GrpcTransport;
import io.a2a.client.transport.grpc.GrpcTransportConfigBuilder;
import io.a2a.client.transport.jsonrpc.JSONRPCTransport;
import io.a2a.client.transport.jsonrpc.JSONRPCTransportConfigBuilder;
import io.a2a.client.transport.rest.RestTransport;
import io.a2a.client.transport.rest.RestTransportConfigBuilder;
import io.a2a.spec.A2AClientException;
import io.a2a.spec.AgentCard;
import io.a2a.spec.AgentSkill;
import io.a2a.spec.Artifact;
import io.a2a.spec.DeleteTaskPushNotificationConfigParams;
import io.a2a.spec.GetTaskPushNotificationConfigParams;
import io.a2a.spec.ListTaskPushNotificationConfigParams;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.PushNotificationAuthenticationInfo;
import io.a2a.spec.PushNotificationConfig;
import io.a2a.spec.Task;
import io.a2a.spec.TaskArtifactUpdateEvent;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskPushNotificationConfig;
import io.a2a.spec.TaskQueryParams;
import io.a2a.spec.TaskStatusUpdateEvent;
import io.a2a.spec.TextPart;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * The Java SDK (A2A 0.3) as a client. Usage: Sdk03 ORIGIN JSON-RPC|gRPC|REST. It takes operations as lines of JSON and
 * answers each with a line: see python/lines.py.
 */
public final class Sdk03 {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final AgentCard card;
    private final String binding;
    private final Client calling;

    private Sdk03(AgentCard card, String binding) throws A2AClientException {
        this.card = card;
        this.binding = binding;
        this.calling = connect(false, true, null);
    }

    public static void main(String[] arguments) throws Exception {
        Sdk03 sdk = new Sdk03(A2A.getAgentCard(arguments[0]), arguments[1]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Map<String, Object> answer = new LinkedHashMap<>();
            try {
                answer.put("result", sdk.perform(JSON.readTree(line)));
            } catch (Throwable error) { // the SDK's errors are Errors, too
                String message = String.valueOf(error.getMessage());
                answer.put("error", Map.of("type", kind(error), "message", message));
            }
            System.out.println(JSON.writeValueAsString(answer));
        }
        // Connections that are kept open for the next call keep nothing else alive.
        System.exit(0);
    }

    /** The SDK's own class of the error, which is mostly the cause of a common one; a gRPC status has its code. */
    private static String kind(Throwable error) {
        Throwable known = error instanceof A2AClientException && error.getCause() != null ? error.getCause() : error;
        if (known instanceof StatusRuntimeException status) {
            return "StatusRuntimeException " + status.getStatus().getCode();
        }
        return known.getClass().getSimpleName();
    }

    private Client connect(boolean streaming, boolean waits, PushNotificationConfig push) throws A2AClientException {
        ClientConfig.Builder config = ClientConfig.builder().setStreaming(streaming).setPolling(!waits);
        if (push != null) {
            config.setPushNotificationConfig(push);
        }
        var builder = Client.builder(card).clientConfig(config.setUseClientPreference(true).build());
        return switch (binding) {
            case "JSON-RPC" -> builder.withTransport(JSONRPCTransport.class, new JSONRPCTransportConfigBuilder()).build();
            case "REST" -> builder.withTransport(RestTransport.class, new RestTransportConfigBuilder()).build();
            default -> builder.withTransport(GrpcTransport.class, new GrpcTransportConfigBuilder()
                .channelFactory(target -> ManagedChannelBuilder.forTarget(target).usePlaintext().build())).build();
        };
    }

    private Object perform(JsonNode request) throws Throwable {
        String id = text(request, "id");
        String taskId = text(request, "taskId");
        return switch (text(request, "op")) {
            case "card" -> about();
            case "send" -> send(request);
            case "stream" -> {
                Message message = message(request);
                yield take(request, (client, each, failed) -> client.sendMessage(message, List.of(each), failed));
            }
            case "subscribe" -> take(request,
                (client, each, failed) -> client.resubscribe(new TaskIdParams(id), List.of(each), failed));
            case "get" -> task(calling.getTask(query(request, id)));
            case "cancel" -> task(calling.cancelTask(new TaskIdParams(id)));
            case "pushSet" -> config(calling.setTaskPushNotificationConfiguration(
                new TaskPushNotificationConfig(taskId, toConfig(request))));
            case "pushGet" -> config(calling.getTaskPushNotificationConfiguration(
                new GetTaskPushNotificationConfigParams(taskId, id)));
            case "pushList" -> calling.listTaskPushNotificationConfigurations(
                new ListTaskPushNotificationConfigParams(taskId)).stream().map(Sdk03::config).toList();
            case "pushDelete" -> {
                calling.deleteTaskPushNotificationConfigurations(new DeleteTaskPushNotificationConfigParams(taskId, id));
                yield null;
            }
            default -> throw new IllegalArgumentException("no such operation: " + request);
        };
    }

    /** Without a length the SDK asks for none of the history over JSON-RPC, and for all of it elsewhere. */
    private TaskQueryParams query(JsonNode request, String id) {
        if (request.hasNonNull("historyLength")) {
            return new TaskQueryParams(id, request.get("historyLength").asInt());
        }
        return binding.equals("JSON-RPC") ? new TaskQueryParams(id, 1000) : new TaskQueryParams(id);
    }

    private Object about() {
        List<String> skills = card.skills().stream().map(AgentSkill::id).toList();
        boolean push = card.capabilities().pushNotifications();
        return Map.of("name", card.name(), "skills", skills, "streaming", card.capabilities().streaming(), "push", push);
    }

    /** Whether to wait, and where to push to, are the client's own settings. */
    private Object send(JsonNode request) throws A2AClientException {
        PushNotificationConfig push = request.hasNonNull("push") ? toConfig(request.get("push")) : null;
        boolean waits = request.path("wait").asBoolean(true);
        Client client = waits && push == null ? calling : connect(false, waits, push);
        List<Object> answers = new ArrayList<>();
        client.sendMessage(message(request), List.of((event, of) -> answers.add(describe(event))), error -> { });
        return answers.get(0);
    }

    /** What starts a stream on a client, and tells of its events and its failure, or its end (null), elsewhere. */
    private interface Stream {
        void start(Client client, BiConsumer<ClientEvent, AgentCard> each, Consumer<Throwable> failed) throws Exception;
    }

    /** The events until the last one, or until the client is closed after so many chunks. */
    private List<Object> take(JsonNode request, Stream stream) throws Throwable {
        int stopAfter = request.path("stopAfter").asInt();
        BlockingQueue<Object> told = new LinkedBlockingQueue<>();
        Client client = connect(true, true, null);
        stream.start(client, (event, of) -> told.add(event), error -> told.add(error == null ? "end" : error));
        List<Object> events = new ArrayList<>();
        int chunks = 0;
        while (stopAfter == 0 || chunks < stopAfter) {
            Object next = told.take();
            if (next instanceof Throwable error) {
                throw error;
            }
            if (!(next instanceof ClientEvent event)) {
                break;
            }
            events.add(describe(event));
            chunks += isChunk(event) ? 1 : 0;
            if (isLast(event)) {
                break;
            }
        }
        client.close();
        return events;
    }

    private static boolean isChunk(ClientEvent event) {
        return event instanceof TaskUpdateEvent update && update.getUpdateEvent() instanceof TaskArtifactUpdateEvent;
    }

    /** The end of a stream is told on some bindings only. */
    private static boolean isLast(ClientEvent event) {
        return event instanceof MessageEvent
            || event instanceof TaskUpdateEvent update
            && update.getUpdateEvent() instanceof TaskStatusUpdateEvent status && status.isFinal();
    }

    private static Map<String, Object> describe(ClientEvent event) {
        if (event instanceof MessageEvent said) {
            return Map.of("kind", "message", "text", said(said.getMessage()));
        }
        if (event instanceof TaskEvent whole) {
            return task(whole.getTask());
        }
        Map<String, Object> told = new LinkedHashMap<>();
        if (((TaskUpdateEvent) event).getUpdateEvent() instanceof TaskStatusUpdateEvent update) {
            told.put("kind", "status");
            told.put("state", update.getStatus().state().asString());
            told.put("text", said(update.getStatus().message()));
            told.put("taskId", update.getTaskId());
            told.put("contextId", update.getContextId());
        } else {
            var update = (TaskArtifactUpdateEvent) ((TaskUpdateEvent) event).getUpdateEvent();
            told.put("kind", "artifact");
            told.put("artifactId", update.getArtifact().artifactId());
            told.put("parts", texts(update.getArtifact().parts()));
            told.put("append", Boolean.TRUE.equals(update.isAppend()));
            told.put("last", Boolean.TRUE.equals(update.isLastChunk()));
            told.put("taskId", update.getTaskId());
            told.put("contextId", update.getContextId());
        }
        return told;
    }

    private static Map<String, Object> task(Task of) {
        List<Artifact> artifacts = of.getArtifacts() == null ? List.of() : of.getArtifacts();
        List<Message> history = of.getHistory() == null ? List.of() : of.getHistory();
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("kind", "task");
        told.put("id", of.getId());
        told.put("contextId", of.getContextId());
        told.put("state", of.getStatus().state().asString());
        told.put("text", said(of.getStatus().message()));
        told.put("artifacts", artifacts.stream()
            .map(each -> Map.of("id", each.artifactId(), "parts", texts(each.parts()))).toList());
        told.put("history", history.stream()
            .map(each -> Map.of("id", each.getMessageId(), "role", each.getRole().asString(), "text", said(each))).toList());
        return told;
    }

    private static List<String> texts(List<Part<?>> parts) {
        return parts.stream().map(part -> part instanceof TextPart text ? text.getText() : part.getKind().asString()).toList();
    }

    private static String said(Message message) {
        return message == null ? "" : String.join("", texts(message.getParts()));
    }

    private static Message message(JsonNode request) {
        return new Message.Builder().role(Message.Role.USER).parts(new TextPart(text(request, "text")))
            .messageId(text(request, "messageId")).taskId(text(request, "taskId")).contextId(text(request, "contextId")).build();
    }

    private static Map<String, Object> config(TaskPushNotificationConfig of) {
        PushNotificationConfig hook = of.pushNotificationConfig();
        PushNotificationAuthenticationInfo credentials = hook.authentication();
        return Map.of("taskId", of.taskId(), "id", hook.id(), "url", hook.url(), "token", hook.token(),
            "scheme", credentials.schemes().get(0), "credentials", credentials.credentials());
    }

    private static PushNotificationConfig toConfig(JsonNode of) {
        var credentials = new PushNotificationAuthenticationInfo(List.of(text(of, "scheme")), text(of, "credentials"));
        return new PushNotificationConfig(text(of, "url"), text(of, "token"), credentials, text(of, "id"));
    }

    private static String text(JsonNode of, String name) {
        return of.hasNonNull(name) ? of.get(name).asText() : null;
    }
}
