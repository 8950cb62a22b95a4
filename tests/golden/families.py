"""Which test module checks which family of golden cases; one missing here makes `test_families.py` fail."""

KNOWN_FAMILIES: dict[str, str] = {
    "glue-metrics": "test_metrics",
    "statistics": "test_statistics",
    "minilmv2-relations": "test_terms",
    "hidden-mse": "test_terms",
    "attention-mse": "test_attention",
    "attention-ce": "test_attention",
    "output-distribution": "test_terms",
    "distilbert-triple": "test_terms",
    "minilmv1": "test_terms",
    "direct-minilm": "test_terms",
    "emd-mapping": "test_mappings",
    "layer-maps": "test_mappings",
}
"""Family (the `family` field of a case) to the module under `tests/golden` with a test marked for it."""
