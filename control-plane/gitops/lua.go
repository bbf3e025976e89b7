package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// Argo CD limits a script to one second.
const patience = time.Second

// luaJudge returns the result of a script. It runs it as Argo CD runs the scripts of argocd-cm: in the same
// interpreter, with the object as the global `obj`, and only with the libraries that are named here.
func luaJudge(script string) judge {
	return func(object *unstructured.Unstructured) (any, error) {
		state := lua.NewState(lua.Options{SkipOpenLibs: true})
		defer state.Close()
		libraries := map[string]lua.LGFunction{
			lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
		}
		// Each depends on the previous one.
		for _, name := range []string{lua.LoadLibName, lua.BaseLibName, lua.TabLibName} {
			call := lua.P{Fn: state.NewFunction(libraries[name]), Protect: true}
			if err := state.CallByParam(call, lua.LString(name)); err != nil {
				return nil, err
			}
		}
		deadline, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		state.SetContext(deadline)
		state.SetGlobal("obj", toLua(state, object.Object))
		if err := state.DoString(script); err != nil {
			var failure *lua.ApiError
			if errors.As(err, &failure) && failure.Type == lua.ApiErrorRun {
				return map[string]string{"error": failure.Object.String()}, nil
			}
			return nil, err
		}
		returned, isTable := state.Get(-1).(*lua.LTable)
		if !isTable {
			return nil, fmt.Errorf("the script must return a table, it returned %s", state.Get(-1).Type())
		}
		text, err := luajson.Encode(returned)
		return json.RawMessage(text), err
	}
}

// toLua converts JSON values to Lua values. Lua has one type of numbers, and null becomes nil.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
