# SPDX-License-Identifier: Apache-2.0
"""The names that the guide to Apple Silicon uses and does not define, as functions that do what
they say, and its classes, run against a pipeline. examples/guide/ has its snippets as printed.

The guide's functions take a vector and no pipeline. `use` says which pipeline, answers and examples
stand behind them; without it the default model is opened at first use."""
from .backends import (BatchOptimizer, MemoryOptimizer, Request, SmartBackendSelector,
                       adjust_sequence_length, distribute_across_backends, get_thermal_state,
                       process_with_ane, select_backend)
from .context import pipeline, use
from .intents import SUPPORT_EXAMPLES, Intent, IntentClassifier, classify_intent
from .scaling import AutoScaler, Check, Monitor, check_targets
from .similar import (Answers, Corpus, Processed, chunk_documents, find_similar, generate_response,
                      process_embeddings_batch)

__all__ = [
    "Answers", "AutoScaler", "BatchOptimizer", "Check", "Corpus", "Intent", "IntentClassifier",
    "MemoryOptimizer", "Monitor", "Processed", "Request", "SUPPORT_EXAMPLES",
    "SmartBackendSelector", "adjust_sequence_length", "check_targets", "chunk_documents",
    "classify_intent", "distribute_across_backends", "find_similar", "generate_response",
    "get_thermal_state", "pipeline", "process_embeddings_batch", "process_with_ane",
    "select_backend", "use"]
