// a2a-go v0.3 (A2A 0.3) as a client. Usage: v03 ORIGIN JSON-RPC|gRPC. See ../lines for what it reads and says.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2aclient"
	"github.com/a2aproject/a2a-go/a2aclient/agentcard"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"a2a-gateway/tests/sdks/go/lines"
)

var bindings = map[string]a2a.TransportProtocol{
	"JSON-RPC": a2a.TransportProtocolJSONRPC,
	"gRPC":     a2a.TransportProtocolGRPC,
}

var errorNames = map[string]error{
	"TaskNotFoundError":         a2a.ErrTaskNotFound,
	"TaskNotCancelableError":    a2a.ErrTaskNotCancelable,
	"UnsupportedOperationError": a2a.ErrUnsupportedOperation,
	"InvalidParamsError":        a2a.ErrInvalidParams,
}

func text(message *a2a.Message) string {
	if message == nil {
		return ""
	}
	return strings.Join(texts(message.Parts), "")
}

func texts(parts a2a.ContentParts) []string {
	return lines.All(parts, func(part a2a.Part) string {
		if part, is := part.(a2a.TextPart); is {
			return part.Text
		}
		return fmt.Sprintf("%T", part)
	})
}

func task(of *a2a.Task) lines.Task {
	return lines.Task{
		Kind:      "task",
		ID:        string(of.ID),
		ContextID: of.ContextID,
		State:     string(of.Status.State),
		Text:      text(of.Status.Message),
		Artifacts: lines.All(of.Artifacts, func(each *a2a.Artifact) lines.Artifact {
			return lines.Artifact{ID: string(each.ID), Parts: texts(each.Parts)}
		}),
		History: lines.All(of.History, func(each *a2a.Message) lines.Said {
			return lines.Said{ID: each.ID, Role: string(each.Role), Text: text(each)}
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
		told.State, told.Text = string(of.Status.State), text(of.Status.Message)
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

func config(of *a2a.TaskPushConfig) lines.Config {
	told := lines.Config{TaskID: string(of.TaskID), ID: of.Config.ID, URL: of.Config.URL, Token: of.Config.Token}
	told.Scheme, told.Credentials = of.Config.Auth.Schemes[0], of.Config.Auth.Credentials
	return told
}

func toConfig(of *lines.Config) a2a.PushConfig {
	auth := &a2a.PushAuthInfo{Schemes: []string{of.Scheme}, Credentials: of.Credentials}
	return a2a.PushConfig{ID: of.ID, URL: of.URL, Token: of.Token, Auth: auth}
}

func toRequest(of *lines.Request) *a2a.MessageSendParams {
	message := a2a.NewMessage(a2a.MessageRoleUser, a2a.TextPart{Text: of.Text})
	message.ID, message.TaskID, message.ContextID = of.MessageID, a2a.TaskID(of.TaskID), of.ContextID
	waits := of.Waits()
	chosen := &a2a.MessageSendConfig{Blocking: &waits}
	if of.Push != nil {
		hook := toConfig(of.Push)
		chosen.PushConfig = &hook
	}
	return &a2a.MessageSendParams{Message: message, Config: chosen}
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
			asked := &a2a.TaskIDParams{ID: a2a.TaskID(r.ID)}
			return lines.Take(client.ResubscribeToTask(ctx, asked), event, r.StopAfter)
		},
		"get": func(r *lines.Request) (any, error) {
			result, err := client.GetTask(ctx, &a2a.TaskQueryParams{ID: a2a.TaskID(r.ID), HistoryLength: r.HistoryLength})
			return lines.Told(result, err, task)
		},
		"cancel": func(r *lines.Request) (any, error) {
			result, err := client.CancelTask(ctx, &a2a.TaskIDParams{ID: a2a.TaskID(r.ID)})
			return lines.Told(result, err, task)
		},
		"pushSet": func(r *lines.Request) (any, error) {
			asked := &a2a.TaskPushConfig{TaskID: a2a.TaskID(r.TaskID), Config: toConfig(&r.Config)}
			result, err := client.SetTaskPushConfig(ctx, asked)
			return lines.Told(result, err, config)
		},
		"pushGet": func(r *lines.Request) (any, error) {
			asked := &a2a.GetTaskPushConfigParams{TaskID: a2a.TaskID(r.TaskID), ConfigID: r.ID}
			result, err := client.GetTaskPushConfig(ctx, asked)
			return lines.Told(result, err, config)
		},
		"pushList": func(r *lines.Request) (any, error) {
			result, err := client.ListTaskPushConfig(ctx, &a2a.ListTaskPushConfigParams{TaskID: a2a.TaskID(r.TaskID)})
			return lines.All(result, config), err
		},
		"pushDelete": func(r *lines.Request) (any, error) {
			asked := &a2a.DeleteTaskPushConfigParams{TaskID: a2a.TaskID(r.TaskID), ConfigID: r.ID}
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
		a2aclient.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
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
