"""Record types of Codex rollouts that need no code of their own, as the client 0.169 and older files name them."""

from __future__ import annotations

SILENT_RECORDS = frozenset(
    {
        "world_state", "token_usage_record", "session_metadata", "dynamic_tools_updated", "resume_metadata",
        "security_risk_score", "inter_agent_communication_metadata", "realtime_item",
    }
)  # fmt: skip
"""Top-level types that only the client reads."""

SILENT_ITEMS = frozenset(
    {"compaction", "compaction_summary", "compaction_trigger", "context_compaction", "ghost_snapshot", "other",
     "configuration_update", "additional_tools"}
)  # fmt: skip
"""Response items without anything to read: encrypted, or markers."""

SILENT_EVENTS = frozenset(
    {
        "task_started", "task_complete", "turn_started", "turn_complete", "thread_settings_applied", "item_started",
        "context_compacted", "session_configured", "turn_diff", "plan_update", "exec_command_begin", "web_search_begin",
        "web_search_end", "mcp_tool_call_begin", "patch_apply_begin", "patch_apply_updated", "view_image_tool_call",
        "image_generation_begin", "image_generation_end", "shutdown_complete", "raw_response_item",
        "raw_response_completed", "agent_message_delta", "agent_reasoning_delta", "agent_reasoning_section_break",
        "agent_message_content_delta", "reasoning_content_delta", "reasoning_raw_content_delta", "plan_delta",
        "exec_command_output_delta", "terminal_interaction", "exec_approval_request", "apply_patch_approval_request",
        "elicitation_request", "elicitation_abandoned", "request_user_input", "request_permissions",
        "dynamic_tool_call_request", "dynamic_tool_call_response", "guardian_assessment", "hook_started",
        "hook_completed", "mcp_startup_update", "mcp_startup_complete", "skills_update_available",
        "collab_agent_spawn_begin", "collab_agent_spawn_end", "collab_agent_interaction_begin",
        "collab_agent_interaction_end", "collab_waiting_begin", "collab_waiting_end", "collab_close_begin",
        "collab_close_end", "collab_resume_begin", "collab_resume_end", "model_verification",
        "get_history_entry_response", "sub_agent_activity",
        "conversation_path", "user_message_queued", "thread_goal_cleared", "safety_buffering",
    }
)  # fmt: skip
"""Events that mirror items, or steer the client's screen."""

SILENT_DONE = frozenset(
    {"WebSearch", "ImageGeneration", "ContextCompaction", "CollabAgentToolCall", "HookPrompt",
     "SubAgentActivity", "Sleep", "EnteredReviewMode", "ExitedReviewMode", "DynamicToolCall", "FunctionCall"}
)  # fmt: skip
"""Completed items that mirror other records."""

TOLD_EVENTS = frozenset({"error", "warning", "stream_error", "deprecation_notice", "background_event", "model_reroute"})
"""Events with a message for the person at the client."""

MODE_EVENTS = frozenset({"entered_review_mode", "exited_review_mode", "undo_started", "undo_completed"})
"""Events whose whole payload is worth reading."""
