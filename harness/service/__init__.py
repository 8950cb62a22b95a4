"""Students into service: ONNX files of a student, in int8 too, each checked before it is handed over.

Here belongs what turns a recorded student into files that a server loads without this harness or torch. Making and
scoring students stays in `harness.trials`, cards and names of students in `harness.ranking`. Needs the extra `serve`.
"""
