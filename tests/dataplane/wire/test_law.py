"""Which test proves which row of the normalisation law, for the seven types that are not AWS' or Anthropic's.

A row names the tests for the six types of OpenAI's format, and those for Ollama; or says `n/a` and
why no test is due. An id is `file::test` or `file::test[case]`, the file without folder and ending;
those that do not exist fail. What a listed test covers is for its reader to judge: ids prove that it
is there, not that it is enough.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FOLDERS = (HERE, HERE.parent, HERE.parent / "providers")
SECTIONS = ("3", "4", "5", "6", "7", "8", "9.1", "9.2", "9.3", "10", "11", "12", "15", "17")

Row = tuple[str, str, str, str]

# Files, by what they are about.
MES, REQ, ANS = "test_openai_messages", "test_openai_request", "test_openai_answer"
STR, PRO, RUL = "test_openai_stream", "test_openai_stream_properties", "test_rulings"
OME, ORE, OAN = "test_ollama_messages", "test_ollama_request", "test_ollama_answer"
OST, INM, INT = "test_ollama_stream", "test_request_messages", "test_request_tools"
INC, INI = "test_request_chat", "test_request_inputs"
RRE, RAN, RST = "test_responses_request", "test_responses_answer", "test_responses_stream"
REP, IDS, BAT = "test_responses_replay", "test_tool_ids", "test_batches"

PASSED = f"{REQ}::test_a_field_is_passed_or_renamed"
DROPPED = f"{REQ}::test_what_only_tunes_is_dropped_with_a_warning"
CONTRACT = f"{REQ}::test_what_the_answer_must_be_is_never_dropped"
CHOICE = f"{REQ}::test_a_tool_choice_is_written"
EFFORT = f"{REQ}::test_an_effort_is_mapped_to_the_nearest"
REASONS = f"{REQ}::test_reasoning_models_take_no_sampling"
O_KEPT = f"{ORE}::test_a_chat_field_is_written_without_loss"
O_LOST = f"{ORE}::test_what_is_lost_is_told"
O_SAID = f"{OME}::test_a_message_is_written_as_ollama_reads_it"
O_REFUSED = f"{OME}::test_what_cannot_be_said_is_rejected_with_its_path"
O_DROPPED = f"{OME}::test_what_ollama_has_no_word_for_is_dropped_with_a_warning"
O_FINISH = f"{OAN}::test_finish_reasons"
ONCE = "n/a: Ollama has one shape of stream, which its own tests keep"
OTHERS = "n/a: of Anthropic and Bedrock only"

LAW: Sequence[Row] = (
    # section, row, tests of the six, tests of Ollama
    ("3", "developer", (f"{MES}::test_developers_pass_at_openai_and_are_systems_elsewhere "
     f"{MES}::test_models_before_gpt_4o_know_no_developer "
     f"{MES}::test_developers_and_systems_are_never_mixed"), O_SAID),
    ("3", "system, leading", f"{MES}::test_open_models_get_one_system_message_at_the_top", O_SAID),
    ("3", "system, later", (f"{MES}::test_later_systems_become_the_users_words_where_they_stand "
     f"{RUL}::test_17_08_a_later_system_message_stays_where_it_is[OpenAI]"),
     f"{RUL}::test_17_08_a_later_system_message_stays_where_it_is[Ollama]"),
    ("3", "tool", f"{MES}::test_ids_are_rewritten_for_mistral_in_calls_and_results_alike",
     f"{OME}::test_an_answer_names_its_tool_and_arguments_are_objects"),
    ("3", "function (legacy)", f"{INM}::test_function_messages_become_tool_messages_with_the_same_id",
     f"{INM}::test_function_messages_become_tool_messages_with_the_same_id"),
    ("3", "same-role neighbours", (f"{MES}::test_templates_that_want_turns_get_neighbours_merged "
     f"{MES}::test_mistral_merges_assistants_only"), "n/a: fine, nothing is done"),
    ("3", "first turn assistant", f"{RUL}::test_a_conversation_may_begin_with_the_assistant[Mistral]",
     f"{RUL}::test_a_conversation_may_begin_with_the_assistant[Ollama]"),
    ("3", "user directly after tool", (f"{MES}::test_mistral_models_get_a_turn_between_tool_and_user "
     f"{RUL}::test_17_09_a_user_right_after_a_tool_gets_a_turn_before_it"),
     "n/a: fine, nothing is done"),
    ("3", "unanswered tool call", f"{INM}::test_calls_and_results_without_each_other_are_refused_by_id",
     f"{OME}::test_a_call_without_an_answer_is_rejected_by_its_id"),
    ("3", "orphan tool result", f"{INM}::test_calls_and_results_without_each_other_are_refused_by_id",
     f"{OME}::test_an_answer_without_a_call_is_rejected_by_its_id"),

    ("4", "text", f"{MES}::test_texts_and_images_pass_without_unknown_keys", O_SAID),
    ("4", "image data URL", f"{MES}::test_texts_and_images_pass_without_unknown_keys", O_SAID),
    ("4", "image http URL", (f"{RRE}::test_parts_of_the_users_words "
     "test_contract::test_a_capability_is_kept_when_it_is_asked_for[OpenAI] "
     "test_ovhcloud::test_capabilities_start_at_the_least"),
     f"{RUL}::test_17_11_an_image_url_is_not_fetched_for_ollama"),
    ("4", "detail", f"{MES}::test_texts_and_images_pass_without_unknown_keys", O_DROPPED),
    ("4", "input_audio", f"{MES}::test_audio_passes_or_is_plain_text_at_mistral", O_REFUSED),
    ("4", "file (file_data PDF)", f"{MES}::test_files_pass_become_documents_or_are_rejected", O_REFUSED),
    ("4", "file (file_id)", (f"{MES}::test_files_pass_become_documents_or_are_rejected "
     f"{RRE}::test_parts_of_the_users_words"), O_REFUSED),
    ("4", "refusal part", f"{MES}::test_refusals_in_parts_are_text_elsewhere", O_SAID),
    ("4", "cache marks", f"{MES}::test_cache_marks_pass_where_they_are_known_and_are_dropped_elsewhere",
     O_DROPPED),
    ("4", "sniffed image bytes", OTHERS, "n/a: bytes have no media type there"),

    ("5", "definition", f"{REQ}::test_a_function_is_passed {RRE}::test_tools_are_flat",
     f"{OME}::test_a_tool_is_written_with_whole_parameters"),
    ("5", "missing parameters", f"{REQ}::test_missing_parameters_are_written_out_for_mistral_only",
     f"{OME}::test_a_tool_is_written_with_whole_parameters"),
    ("5", "strict", f"{REQ}::test_a_function_is_passed {RRE}::test_tools_are_flat",
     f"{OME}::test_strictness_is_dropped_with_a_warning"),
    ("5", "$schema, $id", f"{REQ}::test_mistral_gets_schemas_without_meta_and_references",
     f"{OME}::test_a_tool_is_written_with_whole_parameters"),
    ("5", "name rule", (f"{MES}::test_names_that_do_not_fit_are_replaced_in_tools_choice_and_history "
     f"{MES}::test_names_of_earlier_calls_are_fitted_too"), "n/a: any name is taken"),
    ("5", "call id produced", f"{ANS}::test_missing_and_repeated_ids_are_made_up_the_same_each_time",
     f"{OAN}::test_missing_and_repeated_ids_are_made_unique"),
    ("5", "call id accepted", (f"{MES}::test_ids_are_rewritten_for_mistral_in_calls_and_results_alike "
     f"{MES}::test_only_very_long_ids_are_rewritten_at_openai"), "n/a: any id is taken"),
    ("5", "arguments", f"{ANS}::test_arguments_are_always_json_text",
     f"{OAN}::test_arguments_are_always_text"),
    ("5", "result", f"{MES}::test_ids_are_rewritten_for_mistral_in_calls_and_results_alike",
     f"{OME}::test_an_answer_names_its_tool_and_arguments_are_objects"),
    ("5", "ids are a pure function", (f"{IDS}::test_the_hash_of_an_id_never_changes "
     f"{RUL}::test_17_10_foreign_ids_become_the_same_in_every_request[Mistral]"),
     f"{RUL}::test_17_10_foreign_ids_become_the_same_in_every_request[Ollama]"),
    ("5", "arguments to an object", f"{MES}::test_empty_arguments_become_json_text",
     f"{OME}::test_arguments_become_an_object_and_lose_nothing"),
    ("5", "names are restored", f"{STR}::test_renamed_tools_get_their_names_back",
     "n/a: any name is taken"),

    ("6", "absent", f"{REQ}::test_a_function_is_passed {REQ}::test_nulls_are_never_sent", O_KEPT),
    ("6", "auto", f"{CHOICE}[VLLM-auto-auto]", O_KEPT),
    ("6", "none", f"{CHOICE}[OpenAI-none-none]", O_KEPT),
    ("6", "required", f"{CHOICE}[Mistral-required-any] {CHOICE}[VLLM-required-required]",
     f"{OME}::test_a_forced_call_is_rejected"),
    ("6", "named", CHOICE, f"{OME}::test_a_forced_call_is_rejected"),
    ("6", "allowed_tools", (f"{REQ}::test_allowed_tools_pass_or_are_what_is_left_of_the_tools "
     f"{RRE}::test_a_field_is_said_without_loss"), f"{OME}::test_the_choice_leaves_some_tools"),
    ("6", "operator's downgrade of a forced tool", "n/a: allowed, and not offered",
     "n/a: allowed, and not offered"),

    ("7", "json_object", (f"{REQ}::test_formats_of_the_answer_pass "
     f"{REQ}::test_mistral_is_told_in_words_to_write_json"), O_KEPT),
    ("7", "json_schema", (f"{REQ}::test_formats_of_the_answer_pass "
     f"{RRE}::test_a_field_is_said_without_loss"), O_KEPT),
    ("7", "schema dialect", f"{REQ}::test_mistral_gets_schemas_without_meta_and_references",
     f"{ORE}::test_references_of_a_schema_are_written_out"),
    ("7", "with tools at once", CONTRACT, O_LOST),
    ("7", "refusal", (f"{STR}::test_refusals_and_audio_say_something "
     f"{RAN}::test_items_become_the_message"), "n/a: has none"),
    ("7", "emulation by a forced tool", OTHERS, OTHERS),

    ("8", "max tokens", (f"{PASSED} test_azure_openai::"
     "test_the_limit_of_tokens_is_named_by_model_and_version "
     f"{REQ}::test_a_token_limit_over_the_models_own_is_clamped"), O_KEPT),
    ("8", "temperature range", f"{REQ}::test_mistral_clamps_what_is_out_of_its_range {REASONS}",
     f"{RUL}::test_17_03_a_temperature_over_the_range_is_clamped[Ollama-2]"),
    ("8", "top_p", f"{REQ}::test_mistral_clamps_what_is_out_of_its_range {REASONS}", O_KEPT),
    ("8", "top_k, min_p, repetition", f"{PASSED} {DROPPED}", O_KEPT),
    ("8", "stop", f"{PASSED} {CONTRACT} {REQ}::test_reasoning_models_reject_what_they_cannot_keep",
     O_KEPT),
    ("8", "seed", PASSED, O_KEPT),
    ("8", "penalties", f"{PASSED} {DROPPED} {REASONS}", O_KEPT),
    ("8", "logit_bias", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "user, safety_identifier", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "metadata", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "service_tier", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "stream_options", (f"{REQ}::test_usage_is_always_asked_for_in_streams "
     f"{REQ}::test_obfuscation_is_openais"), O_KEPT),
    ("8", "prompt_cache_key", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "verbosity", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "store", f"{PASSED} {DROPPED}", O_LOST),
    ("8", "drop unless 1", REASONS, "n/a: of OpenAI's models only"),
    ("8", "allow-list", f"{REQ}::test_unknown_fields_never_leak", O_LOST),

    ("9.1", "absent", f"{REQ}::test_a_plain_request_is_sent_plainly", O_KEPT),
    ("9.1", "none", f"{EFFORT} {REQ}::test_vllm_also_switches_the_template_off", O_KEPT),
    ("9.1", "minimal", EFFORT, O_LOST),
    ("9.1", "low, medium, high", EFFORT, O_KEPT),
    ("9.1", "xhigh", EFFORT, O_LOST),
    ("9.1", "max", (f"{EFFORT} {RRE}::test_a_field_is_said_without_loss "
     f"{REQ}::test_without_functions_chat_stays_chat_at_the_highest_effort_there"), O_KEPT),
    ("9.2", "every name is read", (f"{ANS}::test_reasoning_comes_under_one_name "
     f"{ANS}::test_other_names_of_reasoning_are_read[thinking] "
     f"{ANS}::test_lists_of_content_become_text_reasoning_and_annotations"),
     f"{OAN}::test_thinking_becomes_reasoning_content"),
    ("9.2", "tags, if the operator says so",
     f"{ANS}::test_tagged_reasoning_is_split_only_if_the_manifest_says_so",
     "n/a: Ollama parses reasoning itself"),
    ("9.3", "encrypted reasoning before its item",
     (f"{REP}::test_reasoning_goes_back_before_the_item_that_it_produced "
     f"{REP}::test_reasoning_goes_back_only_to_whom_it_came_from"), "n/a: has none"),
    ("9.3", "stripped or forwarded", (f"{MES}::test_what_frameworks_replay_is_left_out "
     f"{MES}::test_earlier_reasoning_goes_back_to_vllm_under_its_own_name[reasoning_content] "
     f"{MES}::test_earlier_reasoning_goes_back_to_magistral_as_a_first_chunk"), O_SAID),

    ("10", "stop", f"{ANS}::test_a_finish_without_calls", O_FINISH),
    ("10", "length", f"{ANS}::test_a_finish_without_calls[Mistral-model_length-length-warnings3]",
     O_FINISH),
    ("10", "tool_calls", f"{ANS}::test_a_call_ends_with_tool_calls", O_FINISH),
    ("10", "content_filter", (f"{ANS}::test_a_finish_without_calls "
     f"{RAN}::test_incomplete_answers_say_why"), "n/a: has none"),
    ("10", "error", (f"{ANS}::test_an_end_that_is_a_failure_is_one "
     f"{STR}::test_an_end_that_is_a_failure_is_one"),
     (f"{OAN}::test_an_answer_that_did_not_finish_is_an_upstream_error "
     f"{OST}::test_a_stream_that_did_not_finish_is_an_error_and_never_a_finish")),
    ("10", "continue", OTHERS, OTHERS),
    ("10", "odd", f"{ANS}::test_a_finish_without_calls[VLLM-repetition-length-warnings4]",
     "n/a: has none"),
    ("10", "unknown", f"{ANS}::test_a_finish_without_calls[OpenAI-brand_new-stop-warnings5]", O_FINISH),
    ("10", "calls that end with stop", (f"{ANS}::test_calls_end_with_tool_calls_unless_one_was_forced_by_name "
     f"{RUL}::test_a_forced_function_keeps_stop_where_openai_says_it"), O_FINISH),
    ("10", "tool_calls without calls", f"{ANS}::test_a_finish_without_calls[OpenAI-tool_calls-stop-warnings6]",
     "n/a: has no such word"),
    ("10", "length with half a call", f"{ANS}::test_a_cut_call_stays_cut",
     "n/a: calls come whole"),
    ("10", "native value is kept", (f"{ANS}::test_a_finish_without_calls "
     f"{RAN}::test_incomplete_answers_say_why"), O_FINISH),

    ("11", "prompt and completion tokens", (f"{ANS}::test_usage_is_kept_and_read "
     f"{RAN}::test_a_response_is_a_chat_completion[OpenAI]"), f"{OAN}::test_usage_adds_up_or_is_null"),
    ("11", "cached and written tokens", (f"{ANS}::test_usage_is_kept_and_read "
     f"{ANS}::test_vllms_name_for_written_cache_is_read_and_nonsense_is_not"), "n/a: not told"),
    ("11", "reasoning tokens", f"{RAN}::test_a_response_is_a_chat_completion[OpenAI]", "n/a: not told"),
    ("11", "where in a stream", f"{STR}::test_usage_on_the_finishing_chunk_moves_to_one_of_its_own",
     f"{OST}::test_asked_for_usage_comes_last_and_is_null_before"),
    ("11", "absent detail is omitted", f"{RAN}::test_details_of_usage_that_are_absent_stay_absent",
     f"{OAN}::test_usage_adds_up_or_is_null"),
    ("11", "usage on every chunk", f"{STR}::test_running_usage_is_not_added_up", ONCE),
    ("11", "no usage is invented", f"{STR}::test_no_usage_is_not_made_up",
     f"{OST}::test_usage_that_the_upstream_does_not_tell_has_no_chunk"),

    ("12", "empty first frame", f"{STR}::test_id_and_time_are_those_of_the_first_chunk_that_has_any", ONCE),
    ("12", "frame without delta or finish", f"{STR}::test_a_frame_may_lack_delta_finish_and_index", ONCE),
    ("12", "role and call in one chunk", f"{STR}::test_a_role_and_a_call_in_one_chunk_are_two_steps", ONCE),
    ("12", "role and name on each chunk", f"{STR}::test_a_role_comes_once_though_each_chunk_repeats_it",
     f"{OST}::test_the_role_chunk_waits_for_nothing_and_comes_once"),
    ("12", "content as a list", f"{STR}::test_content_may_switch_between_lists_and_strings", ONCE),
    ("12", "empty names, repeated ids", f"{STR}::test_repeated_ids_and_empty_names_are_ignored", ONCE),
    ("12", "arguments null", f"{STR}::test_null_arguments_are_nothing_and_none_at_all_are_an_object", ONCE),
    ("12", "whole call in one delta", f"{STR}::test_a_whole_call_in_the_finishing_chunk_is_two_steps",
     f"{OST}::test_thinking_text_and_tool_calls_come_in_order"),
    ("12", "indexes nought, missing or from one",
     f"{STR}::test_calls_are_numbered_from_nought_whatever_their_numbers",
     f"{OST}::test_thinking_text_and_tool_calls_come_in_order"),
    ("12", "usage on a content chunk", f"{STR}::test_usage_that_comes_too_early_waits_for_the_end", ONCE),
    ("12", "unasked usage chunk", f"{STR}::test_the_usage_chunk_is_only_for_those_who_asked",
     f"{OST}::test_usage_that_was_not_asked_for_is_nowhere_but_in_the_facts"),
    ("12", "annotations after the finish",
     f"{STR}::test_annotations_are_swallowed_and_what_they_found_stands_at_the_finish", ONCE),
    ("12", "call without arguments", f"{STR}::test_null_arguments_are_nothing_and_none_at_all_are_an_object",
     f"{OST}::test_a_folded_call_without_text_is_the_unary_answer"),
    ("12", "block indexes, lazy starts, late metadata", OTHERS, OTHERS),
    ("12", "padding keys", f"{STR}::test_openais_chunks_lose_their_padding_and_the_usage_that_nobody_asked_for",
     ONCE),
    ("12", "no end mark", (f"{STR}::test_an_end_in_the_middle_is_an_abort "
     f"{STR}::test_an_end_without_its_mark_is_one_if_every_choice_has_finished "
     f"{RST}::test_an_end_without_its_event_is_a_failure"),
     f"{OST}::test_an_end_without_its_mark_is_a_failure"),
    ("12", "error inside a 200", (f"{STR}::test_an_error_at_the_head_or_later_is_a_failure "
     f"{RST}::test_a_failure_at_the_head_or_later_is_one"),
     f"{OST}::test_an_error_in_the_middle_comes_after_what_was_said"),
    ("12", "tags over several chunks", (f"{PRO}::test_tagged_reasoning_streams_as_it_is_read_whole "
     "test_thinking_tags::test_how_a_text_is_cut_makes_no_difference"),
     "n/a: Ollama parses reasoning itself"),
    ("12", "first token", f"{STR}::test_nothing_is_semantic_before_something_was_said",
     f"{OST}::test_semantic_is_what_says_something"),
    ("12", "events of Responses", (f"{RST}::test_a_folded_stream_is_the_whole_answer "
     f"{RST}::test_every_cut_in_two_gives_the_same_stream"), OTHERS),

    ("15", "batch", f"{BAT}::test_a_type_splits_as_its_page_asks",
     f"{BAT}::test_ollama_takes_any_number_at_once"),
    ("15", "tokens input", (f"{REQ}::test_embeddings_are_asked_for "
     f"{REQ}::test_embeddings_that_cannot_be_had_are_rejected"),
     f"{ORE}::test_embeddings_of_anything_but_texts_are_rejected"),
    ("15", "dimensions", f"{REQ}::test_dimensions_have_their_models",
     f"{ORE}::test_embeddings_never_cut_their_input"),
    ("15", "base64", (f"{ANS}::test_vectors_come_as_the_caller_wants_them "
     f"{ANS}::test_base64_is_little_endian_float32"),
     f"{OAN}::test_embeddings_go_out_as_base64_if_asked_for"),
    ("15", "input type", OTHERS, OTHERS),
    ("15", "over-length", "n/a: the upstream refuses it", f"{ORE}::test_embeddings_never_cut_their_input"),
    ("15", "normalised", "n/a: vectors pass as they are", "n/a: vectors pass as they are"),
    ("15", "splitting", (f"{BAT}::test_parts_are_joined_in_order_and_are_one_attempt "
     f"{BAT}::test_one_failure_is_that_of_all_and_the_others_are_given_up "
     f"{BAT}::test_only_a_few_calls_are_under_way_at_the_same_time"), "n/a: any number at once"),

    ("17", "01", (f"{RUL}::test_17_01_a_missing_parameter_is_rejected_or_dropped_by_what_it_is "
     "test_strictness::test_a_strict_call_rejects_before_anything_is_sent"),
     f"{RUL}::test_17_01_a_missing_parameter_is_rejected_or_dropped_by_what_it_is"),
    ("17", "02", OTHERS, OTHERS),
    ("17", "03", f"{RUL}::test_17_03_a_temperature_over_the_range_is_clamped[Mistral-1.5]",
     f"{RUL}::test_17_03_a_temperature_over_the_range_is_clamped[Ollama-2]"),
    ("17", "04", OTHERS, OTHERS),
    ("17", "05", "n/a: all six take forced tools", f"{RUL}::test_17_05_a_forced_tool_is_never_downgraded"),
    ("17", "06", (f"{RUL}::test_17_06_newest_models_are_bridged_and_reported_as_chat[OpenAI] "
     f"{RUL}::test_17_06_newest_models_are_bridged_and_reported_as_chat[AzureOpenAI]"),
     "n/a: of OpenAI's models only"),
    ("17", "07", f"{RUL}::test_17_07_an_assistants_empty_turn_is_left_out_where_it_is_refused",
     "n/a: empty content is taken"),
    ("17", "08", f"{RUL}::test_17_08_a_later_system_message_stays_where_it_is[VLLM]",
     f"{RUL}::test_17_08_a_later_system_message_stays_where_it_is[Ollama]"),
    ("17", "09", f"{RUL}::test_17_09_a_user_right_after_a_tool_gets_a_turn_before_it[Mistral-m]",
     "n/a: fine, nothing is done"),
    ("17", "10", f"{RUL}::test_17_10_foreign_ids_become_the_same_in_every_request[Mistral]",
     f"{RUL}::test_17_10_foreign_ids_become_the_same_in_every_request[Ollama]"),
    ("17", "11", "n/a: URLs pass, or the capability is missing",
     f"{RUL}::test_17_11_an_image_url_is_not_fetched_for_ollama"),
    ("17", "12", OTHERS, OTHERS),
    ("17", "13", f"{RUL}::test_17_13_several_choices_are_never_faked[Scaleway]",
     f"{RUL}::test_17_13_several_choices_are_never_faked[Ollama]"),
    ("17", "14", f"{REP}::test_what_a_client_changed_costs_the_reasoning_and_nothing_else",
     "n/a: has no signatures"),
    ("17", "15", f"{RUL}::test_17_15_reasoning_has_one_name[VLLM-True]",
     f"{RUL}::test_17_15_reasoning_has_one_name[Ollama-True]"),
    ("17", "16", f"{RUL}::test_17_16_tokens_add_up[OpenAI]", f"{RUL}::test_17_16_tokens_add_up[Ollama]"),
    ("17", "17", OTHERS, OTHERS),
    ("17", "18", f"{RUL}::test_17_18_a_stream_that_fails_midway_says_so_and_no_more[OpenAI]",
     f"{RUL}::test_17_18_a_stream_that_fails_midway_says_so_and_no_more[Ollama]"),
    ("17", "19", f"{RUL}::test_17_19_an_upstreams_401_and_403_are_a_502_of_ours[OpenAI-401]",
     f"{RUL}::test_17_19_an_upstreams_401_and_403_are_a_502_of_ours[Ollama-403]"),
    ("17", "20", f"{RUL}::test_17_20_azures_filtered_choice_gets_a_message", "n/a: of Azure only"),
    ("17", "21", f"{RUL}::test_17_21_the_model_is_the_callers_name_and_the_native_one_is_kept[OpenAI]",
     f"{RUL}::test_17_21_the_model_is_the_callers_name_and_the_native_one_is_kept[Ollama]"),
    ("17", "22", f"{RUL}::test_17_22_more_than_four_stops_are_rejected[OpenAI]", "n/a: any number is taken"),
    ("17", "23", f"{RUL}::test_17_23_an_empty_list_of_tools_is_absent[OpenAI]",
     f"{RUL}::test_17_23_an_empty_list_of_tools_is_absent[Ollama]"),
    ("17", "24", OTHERS, OTHERS),
    ("17", "25", OTHERS, OTHERS),
    ("17", "26", f"{RUL}::test_17_26_an_unknown_type_of_part_is_rejected_whatever_the_target",
     f"{RUL}::test_17_26_an_unknown_type_of_part_is_rejected_whatever_the_target"),
    ("17", "27", OTHERS, OTHERS),
    ("17", "28", (f"{RUL}::test_17_28_a_silent_change_of_model_is_told "
     "test_strictness::test_a_notice_of_the_upstream_reaches_the_caller"),
     "n/a: serves what it is asked for"),
    ("17", "29", "n/a: of Ollama only",
     f"{RUL}::test_17_29_ollamas_context_is_said_and_never_cut_in_silence"),
    ("17", "30", f"{RUL}::test_17_30_keys_with_a_null_are_stripped[VLLM]",
     f"{RUL}::test_17_30_keys_with_a_null_are_stripped[Ollama]"),
)  # fmt: skip


def proofs(row: Row) -> list[str]:
    """Give the ids of a row; a cell that begins with `n/a` has none."""
    return [each for cell in row[2:] if not cell.startswith("n/a: ") for each in cell.split()]


def path_of(name: str) -> Path:
    found = [folder / f"{name}.py" for folder in FOLDERS if (folder / f"{name}.py").is_file()]
    assert 1 == len(found), f"{name} is in {len(found)} folders"
    return found[0]


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The ids of all cases in the files that are named, `file::test` and `file::test[case]`."""
    files = sorted({str(path_of(each.partition("::")[0])) for row in LAW for each in proofs(row)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    listed = subprocess.run(
        [*command, "-p", "no:xdist", *files], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ids: set[str] = set()
    for line in listed.stdout.splitlines():
        path, _, case = line.partition("::")
        if case:
            name = f"{Path(path).stem}::{case}"
            ids |= {name, name.partition("[")[0]}
    return ids


def test_every_proof_is_there(collected: set[str]) -> None:
    assert [] == [each for row in LAW for each in proofs(row) if each not in collected]


def test_every_row_has_a_proof_or_a_reason_for_each_of_its_columns() -> None:
    for _section, row, *cells in LAW:
        for cell in cells:
            assert len(cell) > len("n/a: "), row
            assert cell.startswith("n/a: ") or all("::" in each for each in cell.split()), row


def test_no_row_is_listed_twice_and_no_section_is_missing() -> None:
    assert len(LAW) == len({row[:2] for row in LAW})
    assert list(SECTIONS) == list(dict.fromkeys(section for section, *_rest in LAW))
    assert [f"{number:02}" for number in range(1, 31)] == [row for s, row, *_ in LAW if s == "17"]
