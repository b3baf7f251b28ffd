// a2a-go v2 (A2A 1.0) as a client. Usage: v1 ORIGIN JSON-RPC|gRPC|REST. See ../lines for what it reads and says.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"a2a-gateway/tests/sdks/go/lines"
)

var bindings = map[string]a2a.TransportProtocol{
	"JSON-RPC": a2a.TransportProtocolJSONRPC,
	"gRPC":     a2a.TransportProtocolGRPC,
	"REST":     a2a.TransportProtocolHTTPJSON,
}

var errorNames = map[string]error{
	"TaskNotFoundError":         a2a.ErrTaskNotFound,
	"TaskNotCancelableError":    a2a.ErrTaskNotCancelable,
	"UnsupportedOperationError": a2a.ErrUnsupportedOperation,
	"InvalidParamsError":        a2a.ErrInvalidParams,
}

func state(of a2a.TaskState) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(of), "TASK_STATE_")), "_", "-")
}

func text(message *a2a.Message) string {
	if message == nil {
		return ""
	}
	return strings.Join(texts(message.Parts), "")
}

func texts(parts a2a.ContentParts) []string {
	return lines.All(parts, (*a2a.Part).Text)
}

func task(of *a2a.Task) lines.Task {
	return lines.Task{
		Kind:      "task",
		ID:        string(of.ID),
		ContextID: of.ContextID,
		State:     state(of.Status.State),
		Text:      text(of.Status.Message),
		Artifacts: lines.All(of.Artifacts, func(each *a2a.Artifact) lines.Artifact {
			return lines.Artifact{ID: string(each.ID), Parts: texts(each.Parts)}
		}),
		History: lines.All(of.History, func(each *a2a.Message) lines.Said {
			role := strings.ToLower(strings.TrimPrefix(string(each.Role), "ROLE_"))
			return lines.Said{ID: each.ID, Role: role, Text: text(each)}
		}),
	}
}

func event(of a2a.Event) any {
	switch of := of.(type) {
	case *a2a.Task:
		return task(of)
	case *a2a.Message:
		return lines.Message{Kind: "message", Text: text(of)}
	case *a2a.TaskStatusUpdateEvent:
		told := lines.Status{Kind: "status", TaskID: string(of.TaskID), ContextID: of.ContextID}
		told.State, told.Text = state(of.Status.State), text(of.Status.Message)
		return told
	case *a2a.TaskArtifactUpdateEvent:
		told := lines.Chunk{Kind: "artifact", TaskID: string(of.TaskID), ContextID: of.ContextID}
		told.ArtifactID, told.Parts = string(of.Artifact.ID), texts(of.Artifact.Parts)
		told.Append, told.Last = of.Append, of.LastChunk
		return told
	default:
		return fmt.Sprintf("%T", of)
	}
}

func config(of *a2a.PushConfig) lines.Config {
	told := lines.Config{TaskID: string(of.TaskID), ID: of.ID, URL: of.URL, Token: of.Token}
	told.Scheme, told.Credentials = of.Auth.Scheme, of.Auth.Credentials
	return told
}

func toConfig(of *lines.Config) *a2a.PushConfig {
	auth := &a2a.PushAuthInfo{Scheme: of.Scheme, Credentials: of.Credentials}
	return &a2a.PushConfig{TaskID: a2a.TaskID(of.TaskID), ID: of.ID, URL: of.URL, Token: of.Token, Auth: auth}
}

func toRequest(of *lines.Request) *a2a.SendMessageRequest {
	message := a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(of.Text))
	message.ID, message.TaskID, message.ContextID = of.MessageID, a2a.TaskID(of.TaskID), of.ContextID
	chosen := &a2a.SendMessageConfig{ReturnImmediately: !of.Waits()}
	if of.Push != nil {
		chosen.PushConfig = toConfig(of.Push)
	}
	return &a2a.SendMessageRequest{Message: message, Config: chosen}
}

func toStates(of string) a2a.TaskState {
	if of == "" {
		return a2a.TaskStateUnspecified
	}
	return a2a.TaskState("TASK_STATE_" + strings.ToUpper(strings.ReplaceAll(of, "-", "_")))
}

func page(of *a2a.ListTasksResponse) lines.Page {
	return lines.Page{Tasks: lines.All(of.Tasks, task), Next: of.NextPageToken, Total: of.TotalSize}
}

func operations(ctx context.Context, card *a2a.AgentCard, client *a2aclient.Client) lines.Operations {
	return lines.Operations{
		"card": func(*lines.Request) (any, error) {
			skills := lines.All(card.Skills, func(skill a2a.AgentSkill) string { return skill.ID })
			can := card.Capabilities
			return lines.Card{Name: card.Name, Skills: skills, Streaming: can.Streaming, Push: can.PushNotifications}, nil
		},
		"send": func(r *lines.Request) (any, error) {
			result, err := client.SendMessage(ctx, toRequest(r))
			return lines.Told(a2a.Event(result), err, event)
		},
		"stream": func(r *lines.Request) (any, error) {
			return lines.Take(client.SendStreamingMessage(ctx, toRequest(r)), event, r.StopAfter)
		},
		"subscribe": func(r *lines.Request) (any, error) {
			asked := &a2a.SubscribeToTaskRequest{ID: a2a.TaskID(r.ID)}
			return lines.Take(client.SubscribeToTask(ctx, asked), event, r.StopAfter)
		},
		"get": func(r *lines.Request) (any, error) {
			asked := &a2a.GetTaskRequest{ID: a2a.TaskID(r.ID), HistoryLength: r.HistoryLength}
			result, err := client.GetTask(ctx, asked)
			return lines.Told(result, err, task)
		},
		"cancel": func(r *lines.Request) (any, error) {
			result, err := client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: a2a.TaskID(r.ID)})
			return lines.Told(result, err, task)
		},
		"list": func(r *lines.Request) (any, error) {
			asked := &a2a.ListTasksRequest{ContextID: r.ContextID, PageSize: r.PageSize, PageToken: r.PageToken}
			asked.Status, asked.IncludeArtifacts = toStates(r.State), r.Artifacts
			result, err := client.ListTasks(ctx, asked)
			return lines.Told(result, err, page)
		},
		"pushSet": func(r *lines.Request) (any, error) {
			result, err := client.CreateTaskPushConfig(ctx, toConfig(&r.Config))
			return lines.Told(result, err, config)
		},
		"pushGet": func(r *lines.Request) (any, error) {
			asked := &a2a.GetTaskPushConfigRequest{TaskID: a2a.TaskID(r.TaskID), ID: r.ID}
			result, err := client.GetTaskPushConfig(ctx, asked)
			return lines.Told(result, err, config)
		},
		"pushList": func(r *lines.Request) (any, error) {
			result, err := client.ListTaskPushConfigs(ctx, &a2a.ListTaskPushConfigRequest{TaskID: a2a.TaskID(r.TaskID)})
			return lines.All(result, config), err
		},
		"pushDelete": func(r *lines.Request) (any, error) {
			asked := &a2a.DeleteTaskPushConfigRequest{TaskID: a2a.TaskID(r.TaskID), ID: r.ID}
			return nil, client.DeleteTaskPushConfig(ctx, asked)
		},
	}
}

func run(ctx context.Context, origin, binding string) error {
	card, err := agentcard.DefaultResolver.Resolve(ctx, origin)
	if err != nil {
		return err
	}
	preferred := a2aclient.Config{PreferredTransports: []a2a.TransportProtocol{bindings[binding]}}
	client, err := a2aclient.NewFromCard(ctx, card,
		a2aclient.WithConfig(preferred),
		a2agrpc.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
	)
	if err != nil {
		return err
	}
	return lines.Serve(operations(ctx, card, client), errorNames)
}

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
