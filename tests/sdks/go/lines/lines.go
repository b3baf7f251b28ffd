// Package lines is what the Go clients share: they take operations as lines of JSON and answer each with a line. See
// ../python/lines.py.
package lines

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
)

// Config is a push notification config; TaskID is empty when it is sent with a message.
type Config struct {
	TaskID      string `json:"taskId"`
	ID          string `json:"id"`
	URL         string `json:"url"`
	Token       string `json:"token"`
	Scheme      string `json:"scheme"`
	Credentials string `json:"credentials"`
}

// Request is an operation: Config's own members are those of a push operation.
type Request struct {
	Config
	Op            string  `json:"op"`
	Text          string  `json:"text"`
	MessageID     string  `json:"messageId"`
	ContextID     string  `json:"contextId"`
	Wait          *bool   `json:"wait"`
	Push          *Config `json:"push"`
	StopAfter     int     `json:"stopAfter"`
	HistoryLength *int    `json:"historyLength"`
	PageSize      int     `json:"pageSize"`
	PageToken     string  `json:"pageToken"`
	State         string  `json:"state"`
	Artifacts     bool    `json:"artifacts"`
}

// Waits tells whether the answer is to be waited for, which it is unless the request says otherwise.
func (r *Request) Waits() bool { return r.Wait == nil || *r.Wait }

// Card is what is told of an agent's card.
type Card struct {
	Name      string   `json:"name"`
	Skills    []string `json:"skills"`
	Streaming bool     `json:"streaming"`
	Push      bool     `json:"push"`
}

// Artifact is what is told of a task's artifact.
type Artifact struct {
	ID    string   `json:"id"`
	Parts []string `json:"parts"`
}

// Said is what is told of a message in a task's history.
type Said struct {
	ID   string `json:"id"`
	Role string `json:"role"`
	Text string `json:"text"`
}

// Task is what is told of a task.
type Task struct {
	Kind      string     `json:"kind"`
	ID        string     `json:"id"`
	ContextID string     `json:"contextId"`
	State     string     `json:"state"`
	Text      string     `json:"text"`
	Artifacts []Artifact `json:"artifacts"`
	History   []Said     `json:"history"`
}

// Message is what is told of a direct reply.
type Message struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Status is what is told of a status update.
type Status struct {
	Kind      string `json:"kind"`
	TaskID    string `json:"taskId"`
	ContextID string `json:"contextId"`
	State     string `json:"state"`
	Text      string `json:"text"`
}

// Chunk is what is told of an artifact update.
type Chunk struct {
	Kind       string   `json:"kind"`
	TaskID     string   `json:"taskId"`
	ContextID  string   `json:"contextId"`
	ArtifactID string   `json:"artifactId"`
	Parts      []string `json:"parts"`
	Append     bool     `json:"append"`
	Last       bool     `json:"last"`
}

// Page is what is told of a page of tasks.
type Page struct {
	Tasks []Task `json:"tasks"`
	Next  string `json:"next"`
	Total int    `json:"total"`
}

// Operations maps an operation's name to what does it.
type Operations map[string]func(*Request) (any, error)

// Serve answers until the input ends. An error is named by the first of these that it is.
func Serve(operations Operations, names map[string]error) error {
	input, output := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for input.Scan() {
		var request Request
		if err := json.Unmarshal(input.Bytes(), &request); err != nil {
			return err
		}
		result, err := operations[request.Op](&request)
		answer := map[string]any{"result": result}
		if err != nil {
			answer = map[string]any{"error": map[string]string{"type": kind(err, names), "message": err.Error()}}
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
	return input.Err()
}

func kind(err error, names map[string]error) string {
	for name, known := range names {
		if errors.Is(err, known) {
			return name
		}
	}
	return fmt.Sprintf("%T", err)
}

// Take describes the events of a stream until it ends, or until it is cut after so many chunks.
func Take[E any](events iter.Seq2[E, error], describe func(E) any, stopAfter int) (any, error) {
	taken, chunks := []any{}, 0
	for event, err := range events {
		if err != nil {
			return nil, err
		}
		told := describe(event)
		taken = append(taken, told)
		if _, is := told.(Chunk); is {
			chunks++
		}
		if stopAfter > 0 && chunks == stopAfter {
			break
		}
	}
	return taken, nil
}

// All describes each of them.
func All[From, To any](from []From, describe func(From) To) []To {
	to := make([]To, 0, len(from))
	for _, each := range from {
		to = append(to, describe(each))
	}
	return to
}

// Told describes what a call returned, unless it failed.
func Told[From, To any](from From, err error, describe func(From) To) (any, error) {
	if err != nil {
		return nil, err
	}
	return describe(from), nil
}
