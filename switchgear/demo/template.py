"""The chat template of the tiny model: ChatML, with tools in the Hermes notation.

It decides which of its three texts the model writes, by what the generation prompt ends with:
nothing more (the plain answer), DO_COUNT, or DO_CALL. The rest is what any chat template does.

Source: the ChatML and Hermes tool-call conventions as llama.cpp recognizes them in a template.
"""

from __future__ import annotations

from typing import Final

END_OF_TEXT: Final = "<|endoftext|>"
TURN_START: Final = "<|im_start|>"
TURN_END: Final = "<|im_end|>"
CALL_START: Final = "<tool_call>"
CALL_END: Final = "</tool_call>"
DO_CALL: Final = "<|do_call|>"
DO_COUNT: Final = "<|do_count|>"

_MACROS: Final = r"""
{%- macro turn(role, text) -%}
{{- '<|im_start|>' + role + '\n' + text + '<|im_end|>\n' -}}
{%- endmacro -%}
"""

_SYSTEM: Final = r"""
{%- set first_system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- if tools -%}
    {{- '<|im_start|>system\n' + first_system + ('\n\n' if first_system else '') -}}
    {{- 'These functions may be called, one JSON signature a line:\n<tools>' -}}
    {%- for tool in tools -%}
        {{- '\n' -}}{{- tool | tojson -}}
    {%- endfor -%}
    {{- '\n</tools>\n\nTo call one, write its name and arguments as JSON between tags:\n' -}}
    {{- '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' -}}
    {{- '<|im_end|>\n' -}}
{%- elif first_system -%}
    {{- turn('system', first_system) -}}
{%- endif -%}
"""

_TURNS: Final = r"""
{%- set state = namespace(count=false, call=false) -%}
{%- for message in messages -%}
    {%- if message.role == 'user' -%}
        {%- set state.call = true -%}
        {%- set state.count = 'count' in (message.content | lower) -%}
        {{- turn('user', message.content) -}}
    {%- elif message.role == 'system' and not loop.first -%}
        {{- turn('system', message.content) -}}
    {%- elif message.role == 'tool' -%}
        {%- set state.call = false -%}
        {{- turn('user', '<tool_response>\n' + message.content + '\n</tool_response>') -}}
    {%- elif message.role == 'assistant' -%}
        {{- '<|im_start|>assistant\n' -}}
        {%- if message.content -%}
            {{- message.content -}}
        {%- endif -%}
        {%- for tool_call in message.tool_calls or [] -%}
            {%- set called = tool_call.function or tool_call -%}
            {{- '<tool_call>\n{"name": "' + called.name + '", "arguments": ' -}}
            {%- if called.arguments is string -%}
                {{- called.arguments -}}
            {%- else -%}
                {{- called.arguments | tojson -}}
            {%- endif -%}
            {{- '}\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
"""

_PROMPT: Final = r"""
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- if tools and state.call -%}
        {{- '<|do_call|>' -}}
    {%- elif state.count -%}
        {{- '<|do_count|>' -}}
    {%- endif -%}
{%- endif -%}
"""

CHAT_TEMPLATE: Final = "".join(part.strip() for part in (_MACROS, _SYSTEM, _TURNS, _PROMPT))
