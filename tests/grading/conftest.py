from grading_set import controls, grades_of

__all__ = ["controls", "grades_of"]
